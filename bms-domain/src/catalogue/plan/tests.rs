use proptest::prelude::*;
use serde_json::json;

use crate::catalogue::{ListError, PlanError, RowFault, SeatPlan};
use crate::id::SeatId;
use crate::layout::{Layout, LayoutError, Seat};

fn plan(rows: serde_json::Value) -> SeatPlan {
    serde_json::from_value(json!({
        "layoutId": "l", "name": "Hall",
        "categories": [{"category": "standard", "name": "Standard"}, {"category": "premium", "name": "Premium"}],
        "sections": [{"sectionId": "main", "name": "Main", "rows": rows}],
    }))
    .unwrap()
}

/// The one fault of the first row of section `main`.
fn fault(row: serde_json::Value) -> RowFault {
    match plan(json!([row])).expand() {
        Err(PlanError::Row { section, fault, .. }) if section == "main" => *fault,
        other => panic!("{other:?}"),
    }
}

fn seats(layout: &Layout) -> Vec<&Seat> {
    layout.plan().sections.iter().flat_map(|section| &section.rows).flat_map(|row| &row.seats).collect()
}

fn described(layout: &Layout) -> Vec<String> {
    seats(layout)
        .iter()
        .map(|seat| format!("{} {} {},{} {}", seat.seat_id, seat.category, seat.x, seat.y, seat.accessible))
        .collect()
}

#[test]
fn a_straight_row_has_its_names_categories_and_aisles() {
    let row = json!({"rowId": "A", "numbers": "1-2,5-6", "category": "standard", "categories": {"premium": "5"},
        "accessible": "1", "gapsAfter": "2", "gap": 1.5, "line": {"x": 10, "y": 2, "spacing": 0.5}});
    assert_eq!(
        described(&plan(json!([row])).expand().unwrap()),
        ["A1 standard 10,2 true", "A2 standard 10.5,2 false", "A5 premium 12.5,2 false", "A6 standard 13,2 false"]
    );
}

#[test]
fn a_line_may_run_in_any_direction() {
    let row = json!({"rowId": "A", "numbers": "1-3", "category": "standard", "line": {"x": 0, "y": 0, "angle": 90}});
    let layout = plan(json!([row])).expand().unwrap();
    assert_eq!(seats(&layout).iter().map(|seat| (seat.x, seat.y)).collect::<Vec<_>>(), [(0.0, 0.0), (0.0, 1.0), (0.0, 2.0)]);
}

#[test]
fn an_arc_runs_from_its_start_to_its_end_and_its_gaps_are_wide() {
    let row = json!({"rowId": "A", "numbers": "1-4", "category": "standard", "gapsAfter": "2", "gap": 3,
        "arc": {"x": 0, "y": 0, "radius": 10, "from": 120, "to": 60}});
    let layout = plan(json!([row])).expand().unwrap();
    let places: Vec<_> = seats(&layout).iter().map(|seat| (f64::from(seat.x), f64::from(seat.y))).collect();
    let near = |a: f64, b: f64| (a - b).abs() < 0.02;
    assert!(near(places[0].0, -5.0) && near(places[3].0, 5.0), "{places:?}");
    assert!(places.iter().all(|(x, y)| near(x.hypot(*y), 10.0)), "{places:?}");
    let angle = |(x, y): (f64, f64)| y.atan2(x) * 10.0;
    let (near_by, across) = (angle(places[0]) - angle(places[1]), angle(places[1]) - angle(places[2]));
    assert!(near(across - near_by, 3.0), "{near_by} {across}");
}

#[test]
fn a_single_seat_is_in_the_middle_of_its_arc() {
    let row = json!({"rowId": "A", "numbers": "1", "category": "standard",
        "arc": {"x": 1, "y": 1, "radius": 5, "from": 120, "to": 60}});
    assert_eq!(described(&plan(json!([row])).expand().unwrap()), ["A1 standard 1,6 false"]);
}

#[test]
fn repeated_rows_step_away_and_have_their_own_names() {
    let row = json!({"rowId": "A", "numbers": "1", "seatPrefix": "N-{row}-", "category": "standard",
        "line": {"x": 0, "y": 0}, "repeat": {"rowIds": "B-C,AA", "step": {"x": 0.5, "y": 1}}});
    let layout = plan(json!([row])).expand().unwrap();
    assert_eq!(
        described(&layout),
        ["N-A-1 standard 0,0 false", "N-B-1 standard 0.5,1 false", "N-C-1 standard 1,2 false", "N-AA-1 standard 1.5,3 false"]
    );
    let rows: Vec<_> = layout.plan().sections[0].rows.iter().map(|row| row.row_id.as_str()).collect();
    assert_eq!(rows, ["A", "B", "C", "AA"]);
}

#[test]
fn repeated_arcs_grow() {
    let row = json!({"rowId": "1", "numbers": "1", "seatPrefix": "{row}-", "category": "standard",
        "arc": {"x": 0, "y": 0, "radius": 5, "from": 100, "to": 80}, "repeat": {"rowIds": "2-3", "step": {"radius": 2}}});
    let layout = plan(json!([row])).expand().unwrap();
    assert_eq!(seats(&layout).iter().map(|seat| seat.y).collect::<Vec<_>>(), [5.0, 7.0, 9.0]);
}

#[test]
fn seats_may_be_placed_one_by_one() {
    let row = json!({"rowId": "box", "category": "standard", "seats": [
        {"seatId": "BOX-1", "x": -1.25, "y": 2}, {"seatId": "BOX-2", "category": "premium", "x": 0, "y": 2, "accessible": true}]});
    assert_eq!(described(&plan(json!([row])).expand().unwrap()), ["BOX-1 standard -1.25,2 false", "BOX-2 premium 0,2 true"]);
}

#[test]
fn a_wrong_row_is_refused_for_what_is_wrong_with_it() {
    let base = json!({"rowId": "A", "numbers": "1-4", "category": "standard", "line": {"x": 0, "y": 0}});
    let with = |changes: serde_json::Value| {
        let mut row = base.clone();
        for (key, value) in changes.as_object().unwrap() {
            row[key] = value.clone();
        }
        fault(row)
    };
    let arc = |radius: f64, to: f64| json!({"x": 0, "y": 0, "radius": radius, "from": 90, "to": to});
    assert_eq!(with(json!({"rowId": ""})), RowFault::RowId);
    assert_eq!(with(json!({"rowId": "a\nb"})), RowFault::RowId);
    assert_eq!(with(json!({"rowId": "x".repeat(33)})), RowFault::RowId);
    assert!(matches!(with(json!({"numbers": "1-x"})), RowFault::List { field: "numbers", error: ListError::Malformed(_) }));
    assert_eq!(with(json!({"accessible": "5"})), RowFault::NoSuchNumber { field: "accessible", number: 5 });
    assert_eq!(with(json!({"gapsAfter": "9"})), RowFault::NoSuchNumber { field: "gapsAfter", number: 9 });
    assert_eq!(with(json!({"categories": {"premium": "5"}})), RowFault::NoSuchNumber { field: "categories", number: 5 });
    assert_eq!(with(json!({"categories": {"premium": "2-3", "standard": "3"}})), RowFault::TwoCategories(3));
    assert_eq!(with(json!({"category": null})), RowFault::NoCategory);
    assert_eq!(with(json!({"numbers": null})), RowFault::Form);
    assert_eq!(with(json!({"line": null})), RowFault::Form);
    assert_eq!(with(json!({"arc": arc(9.0, 60.0)})), RowFault::Form);
    assert_eq!(with(json!({"seats": [{"seatId": "Z", "x": 0, "y": 9}]})), RowFault::Form);
    assert!(matches!(with(json!({"seatPrefix": "a b"})), RowFault::SeatId { number: 1, .. }));
    assert!(matches!(with(json!({"seatPrefix": "x".repeat(32)})), RowFault::SeatId { number: 1, .. }));
    assert_eq!(with(json!({"line": {"x": 0, "y": 0, "spacing": 0}})), RowFault::Measure("line.spacing"));
    assert_eq!(with(json!({"line": {"x": 1e9, "y": 0}})), RowFault::Measure("x or y"));
    assert_eq!(with(json!({"gap": -1})), RowFault::Measure("gap"));
    assert_eq!(with(json!({"line": null, "arc": arc(0.0, 60.0)})), RowFault::Measure("arc.radius"));
    assert_eq!(with(json!({"line": null, "arc": arc(9.0, 451.0)})), RowFault::Measure("arc.to"));
    assert_eq!(with(json!({"line": null, "arc": arc(9.0, 60.0), "gap": 99, "gapsAfter": "1"})), RowFault::ArcTooShort);
    let long_id = json!({"rowIds": "x".repeat(33), "step": {"y": 1}});
    assert_eq!(with(json!({"repeat": long_id, "seatPrefix": "Z"})), RowFault::RowId);
    let on_itself = json!({"rowIds": "B", "step": {}});
    assert!(matches!(with(json!({"repeat": on_itself})), RowFault::SamePlace { .. }));
    let no_circle = json!({"rowIds": "B", "step": {"radius": 1}});
    assert!(matches!(with(json!({"repeat": no_circle})), RowFault::Measure(_)));
    assert_eq!(fault(json!({"rowId": "A", "seats": [{"seatId": "Z", "x": 0, "y": 9}]})), RowFault::NoCategory);
}

#[test]
fn a_fault_names_its_section_and_row() {
    let good = json!({"rowId": "A", "numbers": "1", "category": "standard", "line": {"x": 0, "y": 0}});
    let bad = json!({"rowId": "B", "numbers": "?", "category": "standard", "line": {"x": 0, "y": 1}});
    let Err(PlanError::Row { section, row, .. }) = plan(json!([good, bad])).expand() else { panic!() };
    assert_eq!((section.as_str(), row.as_str()), ("main", "B"));
}

#[test]
fn faults_of_the_whole_plan_are_refused() {
    let row = |id: &str, y: u8| json!({"rowId": id, "numbers": "1", "seatPrefix": "Z", "category": "standard", "line": {"x": 0, "y": y}});
    let z1 = SeatId::parse("Z1").unwrap();
    let twice = plan(json!([row("A", 0), row("B", 1)])).expand();
    assert_eq!(twice, Err(PlanError::Layout(LayoutError::DuplicateSeat(z1))));
    assert_eq!(plan(json!([])).expand(), Err(PlanError::Layout(LayoutError::SeatCount)));
    for spoil in [
        (|plan: &mut SeatPlan| plan.name.clear()) as fn(&mut SeatPlan),
        |plan| plan.categories[0].name = "a\u{0}".into(),
        |plan| plan.sections[0].section_id.clear(),
        |plan| plan.sections[0].name = "x".repeat(201),
    ] {
        let mut plan = plan(json!([row("A", 0)]));
        spoil(&mut plan);
        assert!(matches!(plan.expand(), Err(PlanError::Name { .. })));
    }
}

#[test]
fn small_texts_cannot_ask_for_much_work() {
    let base = |numbers: &str| json!({"rowId": "A", "seatPrefix": "{row}-", "numbers": numbers, "category": "standard", "line": {"x": 0, "y": 0}});
    assert_eq!(fault(base("1-4000000000")), RowFault::TooManySeats);
    assert_eq!(fault(base("1-100000,1-100001")), RowFault::TooManySeats);
    let mut repeated = base("1-10");
    repeated["repeat"] = json!({"rowIds": "1-4000000000", "step": {"y": 1}});
    assert_eq!(fault(repeated.clone()), RowFault::TooManySeats);
    // One row more than fits is refused before any is made; exactly as many as fit are made.
    repeated["repeat"]["rowIds"] = json!("1-20000");
    assert_eq!(fault(repeated.clone()), RowFault::TooManySeats);
    repeated["repeat"]["rowIds"] = json!("1-19999");
    assert_eq!(plan(json!([repeated])).expand().unwrap().seat_count(), Layout::MAX_SEATS);
    let mut accessible = base("1-10");
    accessible["accessible"] = json!("1-4000000000");
    assert_eq!(fault(accessible), RowFault::List { field: "accessible", error: ListError::TooMany(10) });
    let mut priced = plan(json!([base("1")]));
    priced.categories = vec![priced.categories[0].clone(); SeatPlan::MAX_CATEGORIES + 1];
    assert_eq!(priced.expand(), Err(PlanError::TooManyCategories));
    // The bound is on the plan, not on the row.
    let rows = ["A", "B", "C"].into_iter().enumerate().map(|(y, id)| {
        json!({"rowId": id, "seatPrefix": "{row}-", "numbers": "1-80000", "category": "standard", "line": {"x": 0, "y": y}})
    });
    let rows: Vec<_> = rows.collect();
    let Err(PlanError::Row { row, fault, .. }) = plan(json!(rows)).expand() else { panic!() };
    assert_eq!((row.as_str(), *fault), ("C", RowFault::TooManySeats));
}

#[test]
fn unknown_fields_are_refused_and_a_plan_survives_its_text() {
    let row = json!({"rowId": "A", "numbers": "1-3", "category": "standard", "line": {"x": 0.5, "y": 1}, "repeat": {"rowIds": "B", "step": {"y": 1}}});
    let first = plan(json!([row]));
    let text = serde_json::to_string(&first).unwrap();
    assert_eq!(serde_json::from_str::<SeatPlan>(&text).unwrap(), first);
    assert!(serde_json::from_str::<SeatPlan>(&text.replace("\"rowId\"", "\"rowID\"")).is_err());
    assert!(serde_json::from_str::<SeatPlan>(&text.replace("\"step\":{", "\"step\":{\"z\":1,")).is_err());
}

/// How many seats a row has, after which of them a gap is, how wide it is, how many further rows there are, and whether
/// they are bent.
fn template() -> impl Strategy<Value = (u32, u32, u32, u32, bool)> {
    (1_u32..30).prop_flat_map(|count| (Just(count), 1..=count, 0_u32..4, 0_u32..5, any::<bool>()))
}

proptest! {
    #[test]
    fn every_plan_expands_to_as_many_seats_as_it_says(templates in prop::collection::vec(template(), 1..6)) {
        let mut rows = Vec::new();
        let mut expected = 0;
        for (position, (count, gap_after, gap, more, bent)) in templates.iter().enumerate() {
            let far = position * 100;
            let mut row = json!({"rowId": format!("{position}x0"), "numbers": format!("1-{count}"), "seatPrefix": "{row}-",
                "category": "standard", "gapsAfter": gap_after.to_string(), "gap": gap});
            if *bent {
                row["arc"] = json!({"x": 0, "y": far, "radius": 40, "from": 150, "to": 30});
            } else {
                row["line"] = json!({"x": 0, "y": far, "spacing": 1.25});
            }
            if *more > 0 {
                let ids: Vec<_> = (1..=*more).map(|copy| format!("{position}x{copy}")).collect();
                row["repeat"] = json!({"rowIds": ids.join(","), "step": {"y": 1.5}});
            }
            expected += count * (more + 1);
            rows.push(row);
        }
        let layout = plan(json!(rows)).expand().unwrap();
        prop_assert_eq!(layout.seat_count(), expected);
        for (seat, index) in seats(&layout).into_iter().zip(0_u32..) {
            prop_assert_eq!(seat.index, index);
            prop_assert_eq!(layout.index_of(&seat.seat_id), Some(index));
        }
        for row in layout.plan().sections.iter().flat_map(|section| &section.rows) {
            for pair in row.seats.windows(2) {
                prop_assert!((pair[0].x - pair[1].x).hypot(pair[0].y - pair[1].y) > 1.2, "{:?}", pair);
            }
        }
    }

    #[test]
    fn any_lists_expand_or_are_refused(numbers in "[0-9,\\-]{0,12}", marks in "[0-9,\\-]{0,6}", ids in "[A-D0-9,\\-]{0,12}") {
        let row = json!({"rowId": "A", "numbers": numbers, "category": "standard", "accessible": marks.clone(), "gapsAfter": marks,
            "line": {"x": 0, "y": 0}, "repeat": {"rowIds": ids, "step": {"y": 1}}});
        if let Ok(layout) = plan(json!([row])).expand() {
            prop_assert!(layout.seat_count() <= Layout::MAX_SEATS);
        }
    }
}
