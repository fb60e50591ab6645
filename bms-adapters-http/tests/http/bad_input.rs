//! What nobody should send, and nothing that changes by it.

use serde_json::{Value, json};

use crate::support::{Ask, Cinema, cinema};

async fn nothing_changed(cinema: &Cinema) {
    assert_eq!(cinema.taken().await, (json!(["A20"]), json!([])));
    let orders = cinema.ask(Ask::get("/api/v1/orders").by("alice")).await.is(200).json();
    assert_eq!(orders["orders"], json!([]));
}

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn strange_ids() -> Vec<String> {
    let mut ids: Vec<String> = [":", "{x}", "*", "\"", "'", "a b", "\0", "\n", "a\u{7f}", "é", "..", "a/b", "%", "<script>"]
        .iter()
        .map(|id| (*id).to_owned())
        .collect();
    ids.push("x".repeat(10_000));
    ids.push("A1{A2}:*".to_owned());
    ids
}

#[tokio::test]
async fn strange_ids_in_paths_are_not_found() {
    let cinema = cinema().await;
    for id in strange_ids() {
        let id = percent(&id);
        let asks = [
            Ask::get(format!("/movies/{id}")),
            Ask::get(format!("/movies/{id}/shows")),
            Ask::get(format!("/api/v1/shows/{id}/seatmap")),
            Ask::get(format!("/api/v1/shows/{id}/seatmap/events")),
            Ask::get(format!("/api/v1/holds/{id}")).by("alice"),
            Ask::delete(format!("/api/v1/holds/{id}")).by("alice"),
            Ask::get(format!("/api/v1/orders/{id}")).by("alice"),
            Ask::delete(format!("/api/v1/orders/{id}")).by("alice"),
            Ask::post(format!("/api/v1/orders/{id}/confirm"), json!({"paymentReference": "pay_ok"})).by("alice"),
            Ask::get(format!("/api/v1/tickets/{id}")).by_admin(),
            Ask::post(format!("/api/v1/admin/orders/{id}/cancel"), json!({})).by_admin(),
        ];
        for ask in asks {
            let path = ask.path.clone();
            let answer = cinema.ask(ask).await;
            assert_eq!((answer.status.as_u16(), answer.code().as_str()), (404, "not-found"), "{path}");
        }
    }
    cinema.ask(Ask::get("/movies/%FF")).await.is_problem(404, "not-found");
    cinema.ask(Ask::get("/api/v1/tickets/%FF").by_admin()).await.is_problem(404, "not-found");
    nothing_changed(&cinema).await;
}

#[tokio::test]
async fn every_seat_that_the_show_lacks_is_named() {
    let cinema = cinema().await;
    let problem = cinema.hold("alice", &["A1", "A:1", "ZZ9"]).await.is_problem(422, "unknown-seats");
    assert_eq!(problem["seatIds"], json!(["A:1", "ZZ9"]));
    nothing_changed(&cinema).await;
}

#[tokio::test]
async fn strange_ids_in_bodies_are_refused() {
    let cinema = cinema().await;
    for id in strange_ids() {
        let show = Ask::post("/api/v1/holds", json!({"showId": id, "seatIds": ["A1"]})).by("alice");
        cinema.ask(show).await.is_problem(404, "not-found");
        let problem = cinema.hold("alice", &["A1", &id]).await.is_problem(422, "unknown-seats");
        assert_eq!(problem["seatIds"], json!([id]));
        let hold = json!({"holdId": id, "customer": {"name": "Ada", "email": "ada@example.org"}});
        cinema.ask(Ask::post("/api/v1/orders", hold).by("alice")).await.is_problem(404, "not-found");
        let movie = json!({"movieId": id, "title": "T", "durationMinutes": 1, "language": "en"});
        let problem = cinema.ask(Ask::put("/api/v1/admin/movies/x", movie).by_admin()).await.is_problem(422, "validation");
        assert_eq!(problem["errors"][0]["pointer"], "/movieId");
    }
    nothing_changed(&cinema).await;
}

#[tokio::test]
async fn seats_that_cannot_be_wanted_are_refused() {
    let cinema = cinema().await;
    let problem = cinema.hold("alice", &["A1", "A2", "A1"]).await.is_problem(422, "validation");
    assert_eq!(problem["errors"][0]["pointer"], "/seatIds/2");
    let problem = cinema.hold("alice", &[]).await.is_problem(422, "validation");
    assert_eq!(problem["errors"][0]["pointer"], "/seatIds");
    nothing_changed(&cinema).await;
}

#[tokio::test]
async fn customers_must_be_somebody() {
    let cinema = cinema().await;
    let hold = cinema.held("alice", &["A1"]).await;
    let cases = [
        (json!({"name": "", "email": "a@b"}), "/customer/name"),
        (json!({"name": "x".repeat(201), "email": "a@b"}), "/customer/name"),
        (json!({"name": "a\u{0}b", "email": "a@b"}), "/customer/name"),
        (json!({"name": "Ada", "email": "nobody"}), "/customer/email"),
        (json!({"name": "Ada", "email": format!("a@{}", "b".repeat(260))}), "/customer/email"),
        (json!({"name": "Ada", "email": "a@b\r\nBcc: c@d"}), "/customer/email"),
    ];
    for (customer, pointer) in cases {
        let ask = Ask::post("/api/v1/orders", json!({"holdId": hold, "customer": customer})).by("alice");
        let problem = cinema.ask(ask).await.is_problem(422, "validation");
        assert_eq!(problem["errors"][0]["pointer"], pointer);
    }
    let orders = cinema.ask(Ask::get("/api/v1/orders").by("alice")).await.is(200).json();
    assert_eq!(orders["orders"], json!([]));
}

#[tokio::test]
async fn bodies_that_are_not_of_the_shape_are_refused() {
    let cinema = cinema().await;
    let good = json!({"showId": "tonight", "seatIds": ["A1"]});
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body.to_string()
    };
    let cases = [
        (String::new(), 400, "malformed-request", ""),
        ("{".to_owned(), 400, "malformed-request", ""),
        ("[]".to_owned(), 400, "malformed-request", ""),
        ("null".to_owned(), 400, "malformed-request", ""),
        ("{}".to_owned(), 400, "malformed-request", ""),
        ("\u{feff}{}".to_owned(), 400, "malformed-request", ""),
        (format!("{}{}", "[".repeat(30_000), "]".repeat(30_000)), 400, "malformed-request", ""),
        (r#"{"showId":"tonight","showId":"tonight","seatIds":["A1"]}"#.to_owned(), 400, "malformed-request", ""),
        (with("seatIds", json!("A1")), 400, "malformed-request", ""),
        (with("seatIds", json!([1])), 400, "malformed-request", ""),
        (with("seatIds", json!({"0": "A1"})), 400, "malformed-request", ""),
        (with("showId", json!(7)), 400, "malformed-request", ""),
        (with("showId", Value::Null), 400, "malformed-request", ""),
        (with("userId", json!("bob")), 422, "validation", "/userId"),
        (with("price", json!(1)), 422, "validation", "/price"),
        (with("a/b", json!(1)), 422, "validation", "/a~1b"),
    ];
    for (body, status, code, pointer) in cases {
        let ask = Ask::new("POST", "/api/v1/holds").body(body.clone()).header("content-type", "application/json").by("alice");
        let answer = cinema.ask(ask).await;
        let shown: String = body.chars().take(80).collect();
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{shown}");
        if status == 422 {
            assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{shown}");
        }
    }
    nothing_changed(&cinema).await;
}

#[tokio::test]
async fn bodies_that_are_too_large_or_of_another_type_are_refused() {
    let cinema = cinema().await;
    let padded = |length: usize| {
        let body = json!({"showId": "tonight", "seatIds": ["A1"]}).to_string();
        format!("{body}{}", " ".repeat(length - body.len()))
    };
    let post = |body: String| Ask::new("POST", "/api/v1/holds").by("alice").body(body);
    let json = |ask: Ask| ask.header("content-type", "application/json");
    cinema.ask(json(post(padded(65 * 1024)))).await.is_problem(413, "body-too-large");
    cinema.ask(json(post(padded(65 * 1024))).key("k")).await.is_problem(413, "body-too-large");
    cinema.ask(json(post(padded(64 * 1024 + 1)))).await.is_problem(413, "body-too-large");
    cinema.ask(post(padded(100))).await.is_problem(415, "unsupported-media-type");
    for media_type in ["text/plain", "application/jsonp", "application/x-www-form-urlencoded", "text/json", ""] {
        let ask = post(padded(100)).header("content-type", media_type);
        cinema.ask(ask).await.is_problem(415, "unsupported-media-type");
    }
    nothing_changed(&cinema).await;
    let ask = post(padded(64 * 1024)).header("content-type", "Application/JSON; charset=utf-8");
    cinema.ask(ask).await.is(201);
}

#[tokio::test]
async fn queries_are_checked() {
    let cinema = cinema().await;
    let many: Vec<&str> = std::iter::repeat_n("01890a5d-ac96-774b-bcce-b302099a8057", 101).collect();
    let cases = [
        ("/movies?limit=0".to_owned(), 422, "/limit"),
        ("/movies?limit=101".to_owned(), 422, "/limit"),
        ("/movies?limit=x".to_owned(), 422, "/limit"),
        ("/movies?cursor=%00".to_owned(), 422, "/cursor"),
        ("/movies?colour=red".to_owned(), 422, "/colour"),
        ("/movies?limit=1&limit=2".to_owned(), 400, ""),
        ("/movies/film/shows?date=2030-02-30".to_owned(), 422, "/date"),
        ("/movies/film/shows?date=2030-2-3".to_owned(), 422, "/date"),
        ("/api/v1/shows/tonight/seatmap?layout=no".to_owned(), 422, "/layout"),
        ("/api/v1/orders?cursor=first".to_owned(), 422, "/cursor"),
        ("/api/v1/holds".to_owned(), 400, ""),
        (format!("/api/v1/holds?ids={}", many.join(",")), 422, "/ids"),
    ];
    for (path, status, pointer) in cases {
        let answer = cinema.ask(Ask::get(path.clone()).by("alice")).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
        if status == 422 {
            assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{path}");
        }
    }
    cinema.ask(Ask::get(format!("/api/v1/holds?ids={}", many[1..].join(","))).by("alice")).await.is(200);
    for path in ["/movies/film/shows?date=0001-01-01", "/movies/film/shows?date=9999-12-31"] {
        cinema.ask(Ask::get(path)).await.is(200);
    }
}

#[tokio::test]
async fn other_methods_are_told_which_there_are() {
    let cinema = cinema().await;
    for (method, path) in [("POST", "/movies"), ("PUT", "/api/v1/holds"), ("PATCH", "/api/v1/orders/x"), ("TRACE", "/healthz")] {
        let answer = cinema.ask(Ask::new(method, path)).await;
        answer.is_problem(405, "method-not-allowed");
        let allowed = answer.header("allow").unwrap_or_default();
        assert!(allowed.contains("GET"), "{path}: {allowed}");
    }
}
