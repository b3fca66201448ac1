use super::*;

const AXES: Axes<'_> = Axes {
    title: "a < b",
    x: "tool",
    y: "added, ns",
};

#[test]
fn axes_end_at_a_round_number() {
    let rounded = [0.0, 0.9, 1.2, 31.0, 412.0, 1_000.0, f64::NAN].map(round_up);
    assert_eq!(rounded, [1.0, 1.0, 1.5, 40.0, 500.0, 1_000.0, 1.0]);
}

#[test]
fn ticks_have_no_zeroes_that_say_nothing() {
    assert_eq!(
        [0.6, 1.2, 30.0, 2.5].map(tick_name),
        ["0.6", "1.2", "30", "2.5"]
    );
}

#[test]
fn every_bar_is_drawn_and_a_missing_one_is_said() {
    let categories = ["x".to_owned(), "y".to_owned()];
    let svg = bars(&AXES, &categories, &[("unrelated", vec![Some(10.0), None])]);
    // The background, the legend's and one bar.
    assert_eq!(svg.matches("<rect").count(), 3);
    assert!(svg.contains("a &lt; b") && svg.contains(">added, ns<") && svg.contains(">-<"));
    assert!(svg.ends_with("</svg>\n"));
}

#[test]
fn points_have_a_goal_across() {
    let line = [("theft", vec![(1.0, 2.0), (2.0, 4.0)])];
    let svg = points(&AXES, &line, true, Some((100.0, "goal")));
    assert!(svg.contains("stroke-dasharray") && svg.contains("<polyline"));
    assert_eq!(
        points(&AXES, &line, false, None).matches("<circle").count(),
        2
    );
}
