"""What one writes first: the naive design that the library is measured against.

A key a seat in Redis that names the hold, the hold as JSON, SCAN for the seat map, a thread pool that calls Postgres statement by
statement. It answers the same routes as bms-server, as far as bms-load asks them, so that one load measures both. It keeps few of
the promises: a seat that was sold can be held again, a payment that comes late is refused, a retry is another request. Do not sell
with it.

Settings: REDIS_URL, DATABASE_URL, BMS_JWT_SECRET.
"""

import json
import os
import secrets
import time
import uuid
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import jwt
import redis
from fastapi import Depends, FastAPI, Header, HTTPException, Request
from fastapi.responses import JSONResponse
from psycopg.errors import UniqueViolation
from psycopg.types.json import Json
from psycopg_pool import ConnectionPool
from pydantic import BaseModel

HOLD_TTL = timedelta(minutes=10)
ORDER_TTL = timedelta(minutes=5)
SECRET = os.environ["BMS_JWT_SECRET"]
CODE = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (kind text, id text, entry jsonb NOT NULL, PRIMARY KEY (kind, id));
CREATE TABLE IF NOT EXISTS orders (
  id uuid PRIMARY KEY, hold_id uuid NOT NULL, show_id text NOT NULL, user_id text NOT NULL, name text NOT NULL, email text NOT NULL,
  amount bigint NOT NULL, currency text NOT NULL, status text NOT NULL, payment text, ticket_code text UNIQUE,
  created_at timestamptz NOT NULL, expires_at timestamptz NOT NULL);
CREATE TABLE IF NOT EXISTS order_seats (order_id uuid REFERENCES orders, show_id text, seat_id text, PRIMARY KEY (show_id, seat_id));
"""

# All seats or none; what has been sold is not looked at.
HOLD = """
for i = 2, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 1 then return 0 end
end
for i = 2, #KEYS do redis.call('SET', KEYS[i], ARGV[1], 'PX', ARGV[3]) end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""

locks = redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)
place = locks.register_script(HOLD)
pool = ConnectionPool(os.environ["DATABASE_URL"], min_size=4, max_size=16, open=False)


@asynccontextmanager
async def lifespan(_: FastAPI):
    pool.open(wait=True)
    with pool.connection() as database:
        # Several workers start at once, and CREATE TABLE IF NOT EXISTS is not safe then.
        database.execute("SELECT pg_advisory_xact_lock(1)")
        database.execute(SCHEMA)
    yield
    pool.close()


app = FastAPI(lifespan=lifespan)


class Problem(Exception):
    def __init__(self, status: int, code: str, **members):
        self.answer = JSONResponse({"type": f"urn:bms:problem:{code}", "status": status, **members}, status)


@app.exception_handler(Problem)
def problem(_: Request, raised: Problem) -> JSONResponse:
    return raised.answer


class WantedHold(BaseModel):
    showId: str
    seatIds: list[str]


class Customer(BaseModel):
    name: str
    email: str


class WantedOrder(BaseModel):
    holdId: str
    customer: Customer


class Payment(BaseModel):
    paymentReference: str


def claims(authorization: str = Header()) -> dict:
    try:
        return jwt.decode(authorization.removeprefix("Bearer "), SECRET, algorithms=["HS256"])
    except jwt.InvalidTokenError as error:
        raise HTTPException(401) from error


def user(token: dict = Depends(claims)) -> str:
    return token["sub"]


def new_id() -> str:
    """A UUID of version 7."""
    number = int(time.time() * 1000) << 80 | 7 << 76 | secrets.randbits(12) << 64 | 2 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=number))


def written(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03}Z"


def price(show: str, seats: int) -> tuple[int, str]:
    with pool.connection() as database:
        row = database.execute("SELECT entry FROM entries WHERE kind = 'shows' AND id = %s", (show,)).fetchone()
    if row is None:
        raise Problem(404, "not-found")
    first = row[0]["prices"][0]
    return first["amount"] * seats, first["currency"]


def seat_key(show: str, seat: str) -> str:
    return f"seat:{show}:{seat}"


@app.get("/healthz")
def healthz() -> dict:
    return {"status": "ok"}


@app.put("/api/v1/admin/{kind}/{entry_id}")
def put(kind: str, entry_id: str, entry: dict, token: dict = Depends(claims)) -> dict:
    if "bms:admin" not in token.get("scope", "").split():
        raise Problem(403, "forbidden")
    with pool.connection() as database:
        database.execute(
            "INSERT INTO entries VALUES (%s, %s, %s) ON CONFLICT (kind, id) DO UPDATE SET entry = EXCLUDED.entry",
            (kind, entry_id, Json(entry)),
        )
    return entry


@app.get("/api/v1/shows/{show}/seatmap")
def seat_map(show: str) -> dict:
    with pool.connection() as database:
        rows = database.execute(
            "SELECT seat_id FROM order_seats JOIN orders ON orders.id = order_id WHERE order_seats.show_id = %s AND status = 'CONFIRMED'",
            (show,),
        ).fetchall()
    sold = {row[0] for row in rows}
    held = {key.rsplit(":", 1)[1] for key in locks.scan_iter(match=seat_key(show, "*"), count=1000)}
    return {"showId": show, "unavailableSeatIds": sorted(sold), "heldSeatIds": sorted(held - sold)}


@app.post("/api/v1/holds", status_code=201)
def hold(wanted: WantedHold, owner: str = Depends(user)) -> dict:
    amount, currency = price(wanted.showId, len(wanted.seatIds))
    now = datetime.now(UTC)
    made = {
        "holdId": new_id(),
        "showId": wanted.showId,
        "userId": owner,
        "seatIds": wanted.seatIds,
        "status": "HELD",
        "amount": amount,
        "currency": currency,
        "createdAt": written(now),
        "expiresAt": written(now + HOLD_TTL),
    }
    keys = [f"hold:{made['holdId']}", *(seat_key(wanted.showId, seat) for seat in wanted.seatIds)]
    if not place(keys, [made["holdId"], json.dumps(made), int(HOLD_TTL.total_seconds() * 1000)]):
        taken = [seat for seat, holder in zip(wanted.seatIds, locks.mget(keys[1:])) if holder]
        raise Problem(409, "seats-unavailable", seatIds=taken)
    return made


def held_by(hold_id: str, owner: str) -> dict:
    text = locks.get(f"hold:{hold_id}")
    found = json.loads(text) if text else None
    if found is None or found["userId"] != owner:
        raise Problem(404, "not-found")
    return found


@app.delete("/api/v1/holds/{hold_id}")
def release(hold_id: str, owner: str = Depends(user)) -> dict:
    found = held_by(hold_id, owner)
    locks.delete(f"hold:{hold_id}", *(seat_key(found["showId"], seat) for seat in found["seatIds"]))
    return found | {"status": "RELEASED"}


@app.post("/api/v1/orders", status_code=201)
def order(wanted: WantedOrder, owner: str = Depends(user)) -> dict:
    found = held_by(wanted.holdId, owner)
    order_id, now = new_id(), datetime.now(UTC)
    values = (order_id, found["holdId"], found["showId"], owner, wanted.customer.name, wanted.customer.email)
    try:
        with pool.connection() as database:
            database.execute(
                "INSERT INTO orders VALUES (%s, %s, %s, %s, %s, %s, %s, %s, 'PAYMENT_PENDING', NULL, NULL, %s, %s)",
                (*values, found["amount"], found["currency"], now, now + ORDER_TTL),
            )
            for seat in sorted(found["seatIds"]):
                database.execute("INSERT INTO order_seats VALUES (%s, %s, %s)", (order_id, found["showId"], seat))
    except UniqueViolation as error:
        raise Problem(409, "seats-unavailable", seatIds=found["seatIds"]) from error
    return {"orderId": order_id, "holdId": found["holdId"], "seatIds": found["seatIds"], "status": "PAYMENT_PENDING", "ticketCode": None}


@app.post("/api/v1/orders/{order_id}/confirm")
def confirm(order_id: uuid.UUID, payment: Payment, owner: str = Depends(user)) -> dict:
    with pool.connection() as database:
        row = database.execute(
            "SELECT status, expires_at, ticket_code, hold_id, show_id FROM orders WHERE id = %s AND user_id = %s", (order_id, owner)
        ).fetchone()
        if row is None:
            raise Problem(404, "not-found")
        status, expires_at, code, hold_id, show = row
        seats = [seat for (seat,) in database.execute("SELECT seat_id FROM order_seats WHERE order_id = %s", (order_id,))]
        if status != "CONFIRMED":
            if expires_at <= datetime.now(UTC):
                raise Problem(410, "order-expired")
            code = "BMS-" + "".join(secrets.choice(CODE) for _ in range(6))
            database.execute(
                "UPDATE orders SET status = 'CONFIRMED', payment = %s, ticket_code = %s WHERE id = %s",
                (payment.paymentReference, code, order_id),
            )
    locks.delete(f"hold:{hold_id}", *(seat_key(show, seat) for seat in seats))
    return {"orderId": str(order_id), "holdId": str(hold_id), "seatIds": seats, "status": "CONFIRMED", "ticketCode": code}
