//! The smallest complete program that links the library and sells two seats.

use bms_domain::BookingService;
use bms_domain::catalogue::CatalogueDocument;
use bms_domain::id::{Caller, SeatId, ShowId, UserId};
use bms_domain::order::{Customer, OrderState};
use bms_domain::payment::PaymentReference;
use bms_domain::service::Payment;

const CATALOGUE: &str = r#"{
  "movies": [{"movieId": "dune", "title": "Sand", "durationMinutes": 155, "language": "en"}],
  "theatres": [{"theatreId": "roxy", "name": "Roxy", "city": "Leeds", "timeZone": "Europe/London", "screens": [
    {"screen": "1", "name": "Screen 1", "layout": {"layoutId": "roxy-1", "name": "Screen 1",
      "categories": [{"category": "stalls", "name": "Stalls"}],
      "sections": [{"sectionId": "stalls", "name": "Stalls", "rows": [
        {"rowId": "A", "numbers": "1-12", "category": "stalls", "line": {"x": 0, "y": 0}}]}]}}]}],
  "shows": [{"showId": "tonight", "movieId": "dune", "theatreId": "roxy", "screen": "1",
    "startTime": "2999-12-31T19:30:00Z", "prices": [{"category": "stalls", "amount": 1250, "currency": "GBP"}]}]
}"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    futures::executor::block_on(sell_two_seats())
}

async fn sell_two_seats() -> Result<(), Box<dyn std::error::Error>> {
    let service = BookingService::in_memory().build()?;
    let admin = Caller::admin(UserId::parse("box-office")?);
    service.import(&admin, &CatalogueDocument::parse(CATALOGUE)?).await?;

    let alice = Caller::user(UserId::parse("alice")?);
    let (show, seats) = (ShowId::parse("tonight")?, [SeatId::parse("A5")?, SeatId::parse("A6")?]);
    let held = service.place_hold(&alice, &show, &seats, service.new_seed()).await?;
    println!("held A5 and A6 until {} for {}", held.hold.expires_at(), held.hold.price);

    let customer = Customer { name: "Alice".to_owned(), email: "alice@example.org".to_owned() };
    let order = service.create_order(&alice, held.hold.id, customer).await?.order;
    let payment = service.confirm_order(&alice, order.id, &PaymentReference::parse("pay_ok_1")?).await?;
    if let Payment::Confirmed(order) = payment
        && let OrderState::Confirmed { ticket, .. } = &order.state
    {
        println!("sold: ticket {}", ticket.code);
    }
    println!("{} seats are left", service.seat_map(&show).await?.available());
    Ok(())
}
