//! Order statistics, and a slope that a few wild samples do not move.

/// The sample at a share of the sorted ones: 0 is the minimum, 0.5 the median, 1 the maximum; NaN of none.
pub fn quantile(samples: &[f64], share: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    let at = (last as f64 * share.clamp(0.0, 1.0)).round() as usize;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

/// Theil-Sen: the median of the slopes of all pairs of points, in y per x; 0 of fewer than two points. Up to 29 % of the points
/// may be anything (Sen 1968).
pub fn slope(points: &[(f64, f64)]) -> f64 {
    let mut slopes = Vec::new();
    for (index, (x, y)) in points.iter().enumerate() {
        for (later_x, later_y) in points.iter().skip(index + 1) {
            if later_x > x {
                slopes.push((later_y - y) / (later_x - x));
            }
        }
    }
    if slopes.is_empty() {
        return 0.0;
    }
    quantile(&slopes, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles() {
        let samples = [3.0, 1.0, 2.0];
        let at = |share| quantile(&samples, share);
        assert_eq!((at(0.0), at(0.5), at(1.0)), (1.0, 2.0, 3.0));
        assert!(quantile(&[], 0.5).is_nan());
        let hundred: Vec<f64> = (0..=100).map(f64::from).collect();
        assert_eq!(quantile(&hundred, 0.99), 99.0);
    }

    #[test]
    fn a_line_has_its_slope_whatever_a_few_points_say() {
        let mut points: Vec<(f64, f64)> = (0..40)
            .map(|x| (f64::from(x), 5.0 + 0.25 * f64::from(x)))
            .collect();
        assert_eq!(slope(&points), 0.25);
        for wild in [3, 17, 20, 31] {
            points[wild].1 = 9_000.0;
        }
        assert!((slope(&points) - 0.25).abs() < 0.01, "{}", slope(&points));
    }

    #[test]
    fn too_few_points_have_no_slope() {
        assert_eq!(slope(&[]), 0.0);
        assert_eq!(slope(&[(1.0, 2.0)]), 0.0);
        assert_eq!(slope(&[(1.0, 2.0), (1.0, 3.0)]), 0.0);
    }
}
