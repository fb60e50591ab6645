//! What came of a run, as a picture: how long requests took, how seats sold, and what was refused.

use std::error::Error;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::report::{Latency, Report};

const SIZE: (u32, u32) = (960, 1_200);
const COLOURS: [RGBColor; 5] =
    [RGBColor(31, 97, 141), RGBColor(183, 65, 14), RGBColor(46, 125, 50), RGBColor(123, 31, 162), RGBColor(97, 97, 97)];
const SOLD: RGBColor = COLOURS[0];
const REFUSED: RGBColor = COLOURS[1];
const TITLE: (&str, i32) = ("sans-serif", 20);
const TEXT: (&str, i32) = ("sans-serif", 14);
/// The places of the first panel, from left to right.
const PERCENTILES: [&str; 6] = ["50", "75", "90", "95", "99", "99.9"];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn Error>>;

/// The report as an SVG.
pub(crate) fn svg(report: &Report) -> Result<String, String> {
    let mut text = String::new();
    draw(report, &mut text).map_err(|error| error.to_string())?;
    Ok(text)
}

fn draw(report: &Report, text: &mut String) -> Drawn {
    let root = SVGBackend::with_string(text, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let areas = root.split_evenly((3, 1));
    let [times, sale, refusals] = areas.as_slice() else { return Err("three panels were asked for".into()) };
    latencies(report, times)?;
    seats(report, sale)?;
    causes(report, refusals)?;
    root.present()?;
    Ok(())
}

/// Milliseconds by percentile, a line for each kind of request. The scale is logarithmic.
fn latencies(report: &Report, area: &Area<'_>) -> Drawn {
    let points = |latency: &Latency| {
        let Latency { p50, p75, p90, p95, p99, p999, .. } = latency;
        [p50, p75, p90, p95, p99, p999].map(|micros| (*micros).max(1) as f64 / 1_000.0)
    };
    let lines: Vec<_> = report.requests.iter().map(|(kind, figures)| (*kind, points(&figures.latency))).collect();
    let values = || lines.iter().flat_map(|(_, values)| values).copied();
    let least = values().fold(f64::MAX, f64::min).min(1.0);
    let most = values().fold(1.0, f64::max);

    let title = format!("{} through {} on {}: latency, ms", report.scenario.name, report.target.through, report.target.stores);
    let mut chart = ChartBuilder::on(area)
        .caption(title, TITLE)
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(72)
        .build_cartesian_2d(0.0..(PERCENTILES.len() - 1) as f64, (least * 0.8..most * 1.2).log_scale())?;
    let name = |place: &f64| PERCENTILES.get(place.round() as usize).map_or_else(String::new, |name| (*name).to_owned());
    let mut mesh = chart.configure_mesh();
    mesh.x_labels(PERCENTILES.len()).x_label_formatter(&name).x_desc("percentile").label_style(TEXT).draw()?;
    for ((kind, values), colour) in lines.into_iter().zip(COLOURS) {
        let line = LineSeries::new((0..).map(f64::from).zip(values), colour.stroke_width(2));
        chart.draw_series(line)?.label(kind).legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour));
    }
    let mut legend = chart.configure_series_labels();
    legend.position(SeriesLabelPosition::UpperLeft).background_style(WHITE.mix(0.8)).label_font(TEXT).draw()?;
    Ok(())
}

/// Seats sold by the second.
fn seats(report: &Report, area: &Area<'_>) -> Drawn {
    let points = report.curve.iter().map(|sample| (sample.at_ms as f64 / 1_000.0, sample.seats_sold as f64));
    let end = report.curve.last().map_or(1.0, |sample| sample.at_ms as f64 / 1_000.0).max(0.001);
    let title = format!("{} of {} seats sold", report.seats.sold, report.seats.on_sale);
    let mut chart = ChartBuilder::on(area)
        .caption(title, TITLE)
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(72)
        .build_cartesian_2d(0.0..end, 0.0..(report.seats.sold.max(1) as f64 * 1.05))?;
    chart.configure_mesh().x_desc("seconds").label_style(TEXT).draw()?;
    chart.draw_series(LineSeries::new(points, SOLD.stroke_width(2)))?;
    Ok(())
}

/// A bar for each cause of each kind of request.
fn causes(report: &Report, area: &Area<'_>) -> Drawn {
    let all = report.requests.iter().flat_map(|(kind, figures)| {
        let causes = figures.refused.iter().chain(&figures.unknown);
        causes.map(move |(cause, count)| (format!("{kind}: {cause} ({count})"), *count as f64))
    });
    let bars: Vec<(String, f64)> = all.collect();
    let title = if bars.is_empty() { "Nothing was refused" } else { "Refusals, and answers that were lost, by cause" };
    let most = bars.iter().map(|(_, count)| *count).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption(title, TITLE)
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(72)
        .build_cartesian_2d(0.0..most * 1.05, bars.len().max(3) as f64..0.0)?;
    chart.configure_mesh().disable_y_mesh().disable_y_axis().x_desc("answers").label_style(TEXT).draw()?;
    // From the top, each with its name above it.
    let rows = || (0..).map(f64::from).zip(&bars);
    let bar =
        |(row, (_, count)): (f64, &(String, f64))| Rectangle::new([(0.0, row + 0.5), (*count, row + 0.9)], REFUSED.filled());
    chart.draw_series(rows().map(bar))?;
    chart.draw_series(rows().map(|(row, (name, _))| Text::new(format!(" {name}"), (0.0, row + 0.2), TEXT)))?;
    Ok(())
}
