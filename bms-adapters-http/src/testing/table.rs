//! The rows.

use super::Row;

const PROBLEM: &[(&str, &str)] = &[("content-type", "application/problem+json"), ("x-request-id", "*")];
const JSON: &[(&str, &str)] = &[("content-type", "application/json"), ("x-request-id", "*")];
const CREATED: &[(&str, &str)] =
    &[("content-type", "application/json"), ("x-request-id", "*"), ("location", "*"), ("cache-control", "no-store")];

/// Another process may have sold: whatever is kept here is not asked for.
const FRESH: &[(&str, &str)] = &[("cache-control", "no-cache")];

/// What makes a request once only, however often it is sent.
const KEY: &[(&str, &str)] = &[("idempotency-key", "the-key-of-the-table")];

/// What every row is unless it says otherwise.
const ROW: Row =
    Row { name: "", method: "GET", path: "", user: "", headers: &[], body: "", status: 200, has: JSON, shape: &[], keep: &[] };

/// Everything that is asked of a server that carries the [`catalogue`](super::catalogue) and nothing else, in this order.
pub const ROWS: &[Row] = &[
    Row { name: "alive", path: "/healthz", shape: &[("/status", "\"ok\"")], ..ROW },
    Row { name: "ready", path: "/readyz", shape: &[("/status", "\"ready\"")], ..ROW },
    Row { name: "metrics", path: "/metrics", has: &[("content-type", "text/plain; version=0.0.4; charset=utf-8")], ..ROW },
    Row { name: "document", path: "/api/v1/openapi.json", shape: &[("/openapi", "\"3.1.0\"")], ..ROW },
    Row {
        name: "movies",
        path: "/movies?limit=1",
        shape: &[("/movies/0/movieId", "\"film\""), ("/movies/1", ""), ("/nextCursor", "\"film\"")],
        ..ROW
    },
    Row {
        name: "movies on",
        path: "/movies?cursor=film",
        shape: &[("/movies/0/movieId", "\"other\""), ("/nextCursor", "null")],
        ..ROW
    },
    Row {
        name: "movies here",
        path: "/movies?city=berlin",
        shape: &[("/movies/0/movieId", "\"film\""), ("/movies/1", ""), ("/movies/0/synopsis", "")],
        ..ROW
    },
    Row {
        name: "movie",
        path: "/movies/film",
        shape: &[("/synopsis", "\"Somebody books a seat.\""), ("/durationMinutes", "101"), ("/posterUrl", "null")],
        ..ROW
    },
    Row {
        name: "no movie",
        path: "/movies/nothing",
        status: 404,
        has: PROBLEM,
        shape: &[("/type", "\"urn:bms:problem:not-found\"")],
        ..ROW
    },
    Row {
        name: "shows today",
        path: "/movies/film/shows?date=2030-01-31",
        shape: &[
            ("/shows/1/showId", "\"tonight\""),
            ("/shows/1/theatreName", "\"The Club\""),
            ("/shows/1/timeZone", "\"Europe/Berlin\""),
            ("/shows/1/startTime", "\"2030-01-31T20:00:00.000Z\""),
            ("/shows/1/seatsTotal", "20"),
            ("/shows/1/seatsAvailable", "19"),
            ("/shows/1/prices/0/amount", "1250"),
            ("/shows/2", ""),
        ],
        ..ROW
    },
    Row {
        name: "no day",
        path: "/movies/film/shows?date=31.1.2030",
        status: 422,
        has: PROBLEM,
        shape: &[("/errors/0/pointer", "\"/date\"")],
        ..ROW
    },
    Row {
        name: "map",
        path: "/api/v1/shows/tonight/seatmap",
        has: &[("etag", "*"), ("cache-control", "no-cache")],
        shape: &[
            ("/showId", "\"tonight\""),
            ("/layout/sections/0/rows/0/seats/1/index", "1"),
            ("/unavailableSeatIds", "[\"A20\"]"),
            ("/heldSeatIds", "[]"),
        ],
        ..ROW
    },
    Row {
        name: "map alone",
        path: "/api/v1/shows/tonight/seatmap?layout=false",
        shape: &[("/layout", ""), ("/version", "*")],
        keep: &[("etag", "etag")],
        ..ROW
    },
    Row {
        name: "the same map",
        path: "/api/v1/shows/tonight/seatmap?layout=false",
        headers: &[("if-none-match", "{etag}")],
        status: 304,
        has: &[("etag", "{etag}"), ("x-request-id", "*")],
        ..ROW
    },
    Row {
        name: "nobody holds",
        method: "POST",
        path: "/api/v1/holds",
        body: r#"{"showId":"tonight","seatIds":["A1"]}"#,
        status: 401,
        has: &[("content-type", "application/problem+json"), ("www-authenticate", "Bearer")],
        ..ROW
    },
    Row {
        name: "hold",
        method: "POST",
        path: "/api/v1/holds",
        user: "alice",
        body: r#"{"showId":"tonight","seatIds":["A2","A1"]}"#,
        status: 201,
        has: CREATED,
        shape: &[
            ("/status", "\"HELD\""),
            ("/seatIds", "[\"A1\",\"A2\"]"),
            ("/amount", "2500"),
            ("/currency", "\"EUR\""),
            ("/userId", "\"alice\""),
            ("/createdAt", "*"),
            ("/expiresAt", "*"),
            ("/showId", "\"tonight\""),
        ],
        keep: &[("hold", "/holdId")],
        ..ROW
    },
    Row {
        name: "taken",
        method: "POST",
        path: "/api/v1/holds",
        user: "bob",
        body: r#"{"showId":"tonight","seatIds":["A1","A3"]}"#,
        status: 409,
        has: PROBLEM,
        shape: &[("/seatIds", "[\"A1\"]")],
        ..ROW
    },
    Row { name: "the hold", path: "/api/v1/holds/{hold}", user: "alice", shape: &[("/holdId", "\"{hold}\"")], ..ROW },
    Row { name: "not his", path: "/api/v1/holds/{hold}", user: "bob", status: 404, has: PROBLEM, ..ROW },
    Row {
        name: "holds",
        path: "/api/v1/holds?ids={hold},01890a5d-ac96-774b-bcce-b302099a8057,junk",
        user: "alice",
        shape: &[("/holds/0/holdId", "\"{hold}\""), ("/holds/1", "null"), ("/holds/2", "null"), ("/holds/3", "")],
        ..ROW
    },
    Row {
        name: "order",
        method: "POST",
        path: "/api/v1/orders",
        user: "alice",
        body: r#"{"holdId":"{hold}","customer":{"name":"Ada","email":"ada@example.org"}}"#,
        status: 201,
        has: CREATED,
        shape: &[
            ("/status", "\"PAYMENT_PENDING\""),
            ("/holdId", "\"{hold}\""),
            ("/customer/email", "\"ada@example.org\""),
            ("/ticketCode", "null"),
            ("/ticketSecret", "null"),
            ("/refundDue", "false"),
            ("/amount", "2500"),
        ],
        keep: &[("order", "/orderId")],
        ..ROW
    },
    Row {
        name: "order again",
        method: "POST",
        path: "/api/v1/orders",
        user: "alice",
        body: r#"{"holdId":"{hold}","customer":{"name":"Ada","email":"ada@example.org"}}"#,
        shape: &[("/orderId", "\"{order}\"")],
        ..ROW
    },
    Row {
        name: "release while it waits",
        method: "DELETE",
        path: "/api/v1/holds/{hold}",
        user: "alice",
        status: 409,
        has: PROBLEM,
        shape: &[("/type", "\"urn:bms:problem:order-pending\""), ("/state", "\"PAYMENT_PENDING\"")],
        ..ROW
    },
    Row {
        name: "under way",
        method: "POST",
        path: "/api/v1/orders/{order}/confirm",
        user: "alice",
        body: r#"{"paymentReference":"pay_pending_1"}"#,
        status: 202,
        shape: &[("/status", "\"PAYMENT_PENDING\"")],
        ..ROW
    },
    Row {
        name: "confirm",
        method: "POST",
        path: "/api/v1/orders/{order}/confirm",
        user: "alice",
        body: r#"{"paymentReference":"pay_ok_1"}"#,
        shape: &[("/status", "\"CONFIRMED\""), ("/ticketCode", "*"), ("/ticketSecret", "*")],
        keep: &[("code", "/ticketCode"), ("secret", "/ticketSecret")],
        ..ROW
    },
    Row {
        name: "confirm again",
        method: "POST",
        path: "/api/v1/orders/{order}/confirm-payment",
        user: "alice",
        body: r#"{"paymentReference":"pay_ok_1"}"#,
        shape: &[("/ticketCode", "\"{code}\""), ("/ticketSecret", "\"{secret}\"")],
        ..ROW
    },
    Row { name: "the order", path: "/api/v1/orders/{order}", user: "alice", shape: &[("/ticketCode", "\"{code}\"")], ..ROW },
    Row {
        name: "orders",
        path: "/api/v1/orders?limit=5",
        user: "alice",
        shape: &[("/orders/0/orderId", "\"{order}\""), ("/orders/1", ""), ("/nextCursor", "null")],
        ..ROW
    },
    Row { name: "no orders", path: "/api/v1/orders", user: "bob", shape: &[("/orders", "[]")], ..ROW },
    Row {
        name: "ticket",
        path: "/api/v1/tickets/{code}",
        user: "the boss",
        shape: &[("/orderId", "\"{order}\""), ("/ticketSecret", "null")],
        ..ROW
    },
    Row {
        name: "no ticket for users",
        path: "/api/v1/tickets/{code}",
        user: "alice",
        status: 403,
        has: PROBLEM,
        shape: &[("/type", "\"urn:bms:problem:forbidden\"")],
        ..ROW
    },
    Row {
        name: "sold",
        path: "/api/v1/shows/tonight/seatmap?layout=false",
        headers: FRESH,
        shape: &[("/unavailableSeatIds", "[\"A1\",\"A2\",\"A20\"]"), ("/heldSeatIds", "[]")],
        ..ROW
    },
    Row {
        name: "cancel",
        method: "POST",
        path: "/api/v1/admin/orders/{order}/cancel",
        user: "the boss",
        shape: &[("/status", "\"CANCELLED\""), ("/refundDue", "true"), ("/ticketSecret", "null")],
        ..ROW
    },
    Row {
        name: "free again",
        path: "/api/v1/shows/tonight/seatmap?layout=false",
        headers: FRESH,
        shape: &[("/unavailableSeatIds", "[\"A20\"]")],
        ..ROW
    },
    Row {
        name: "hold more",
        method: "POST",
        path: "/api/v1/holds",
        user: "alice",
        headers: KEY,
        body: r#"{"showId":"tonight","seatIds":["A4"]}"#,
        status: 201,
        has: CREATED,
        keep: &[("hold", "/holdId"), ("expires", "/expiresAt")],
        ..ROW
    },
    Row {
        name: "the same key",
        method: "POST",
        path: "/api/v1/holds",
        user: "alice",
        headers: KEY,
        body: r#"{"showId":"tonight","seatIds":["A4"]}"#,
        status: 201,
        has: &[("idempotency-replayed", "true"), ("location", "*"), ("content-type", "application/json")],
        shape: &[("/holdId", "\"{hold}\""), ("/expiresAt", "\"{expires}\"")],
        ..ROW
    },
    Row {
        name: "the same key for something else",
        method: "POST",
        path: "/api/v1/holds",
        user: "alice",
        headers: KEY,
        body: r#"{"showId":"tonight","seatIds":["A5"]}"#,
        status: 422,
        has: PROBLEM,
        shape: &[("/type", "\"urn:bms:problem:idempotency-key-reused\"")],
        ..ROW
    },
    Row {
        name: "order more",
        method: "POST",
        path: "/api/v1/orders",
        user: "alice",
        body: r#"{"holdId":"{hold}","customer":{"name":"Ada","email":"ada@example.org"}}"#,
        status: 201,
        has: CREATED,
        keep: &[("order", "/orderId")],
        ..ROW
    },
    Row {
        name: "give up",
        method: "DELETE",
        path: "/api/v1/orders/{order}",
        user: "alice",
        shape: &[("/status", "\"FAILED\"")],
        ..ROW
    },
    Row {
        name: "release",
        method: "DELETE",
        path: "/api/v1/holds/{hold}",
        user: "alice",
        shape: &[("/status", "\"RELEASED\"")],
        ..ROW
    },
    Row {
        name: "release again",
        method: "DELETE",
        path: "/api/v1/holds/{hold}",
        user: "alice",
        shape: &[("/status", "\"RELEASED\"")],
        ..ROW
    },
    Row {
        name: "put movie",
        method: "PUT",
        path: "/api/v1/admin/movies/third",
        user: "the boss",
        body: r#"{"movieId":"third","title":"Third","durationMinutes":80,"language":"de"}"#,
        shape: &[("/movieId", "\"third\""), ("/genres", "[]")],
        ..ROW
    },
    Row {
        name: "put theatre",
        method: "PUT",
        path: "/api/v1/admin/theatres/barn",
        user: "the boss",
        body: r#"{"theatreId":"barn","name":"Barn","city":"Rome","timeZone":"Europe/Rome","screens":[{"screen":"x","name":"X","layout":{"layoutId":"barn-1","name":"X","categories":[{"category":"all","name":"All"}],"sections":[{"sectionId":"s","name":"S","rows":[{"rowId":"A","numbers":"1-3","category":"all","line":{"x":0,"y":0}}]}]}}]}"#,
        shape: &[("/theatreId", "\"barn\""), ("/screens/0/layoutId", "\"barn-1\"")],
        ..ROW
    },
    Row {
        name: "put show",
        method: "PUT",
        path: "/api/v1/admin/shows/matinee",
        user: "the boss",
        body: r#"{"showId":"matinee","movieId":"third","theatreId":"barn","screen":"x","startTime":"2030-02-05T14:00:00Z","prices":[{"category":"all","amount":700,"currency":"EUR"}]}"#,
        shape: &[("/showId", "\"matinee\""), ("/layoutId", "\"barn-1\""), ("/status", "\"ON_SALE\"")],
        ..ROW
    },
    Row { name: "its map", path: "/api/v1/shows/matinee/seatmap", shape: &[("/layout/layoutId", "\"barn-1\"")], ..ROW },
    Row {
        name: "put by a user",
        method: "PUT",
        path: "/api/v1/admin/movies/third",
        user: "alice",
        body: r#"{"movieId":"third","title":"Third","durationMinutes":80,"language":"de"}"#,
        status: 403,
        has: PROBLEM,
        ..ROW
    },
    Row {
        name: "put elsewhere",
        method: "PUT",
        path: "/api/v1/admin/movies/third",
        user: "the boss",
        body: r#"{"movieId":"fourth","title":"Third","durationMinutes":80,"language":"de"}"#,
        status: 422,
        has: PROBLEM,
        shape: &[("/errors/0/pointer", "\"/movieId\"")],
        ..ROW
    },
    Row {
        name: "no JSON",
        method: "POST",
        path: "/api/v1/holds",
        user: "alice",
        body: "{",
        status: 400,
        has: PROBLEM,
        shape: &[("/type", "\"urn:bms:problem:malformed-request\"")],
        ..ROW
    },
    Row {
        name: "not said to be JSON",
        method: "POST",
        path: "/api/v1/holds",
        user: "alice",
        headers: &[("content-type", "text/plain")],
        body: r#"{"showId":"tonight","seatIds":["A5"]}"#,
        status: 415,
        has: PROBLEM,
        shape: &[("/type", "\"urn:bms:problem:unsupported-media-type\"")],
        ..ROW
    },
    Row {
        name: "no seats",
        method: "POST",
        path: "/api/v1/holds",
        user: "alice",
        body: r#"{"showId":"tonight","seatIds":[]}"#,
        status: 422,
        has: PROBLEM,
        shape: &[("/type", "\"urn:bms:problem:validation\""), ("/errors/0/pointer", "\"/seatIds\"")],
        ..ROW
    },
    Row {
        name: "no route",
        path: "/nowhere",
        status: 404,
        has: PROBLEM,
        shape: &[("/type", "\"urn:bms:problem:not-found\"")],
        ..ROW
    },
    Row {
        name: "no method",
        method: "PATCH",
        path: "/movies",
        status: 405,
        has: &[("allow", "*"), ("content-type", "application/problem+json")],
        ..ROW
    },
];
