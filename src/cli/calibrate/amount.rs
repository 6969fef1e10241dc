//! Amounts for people.

/// An amount with four decimals, and with as many more as it takes for two digits of what costs next to nothing.
pub(super) fn usd(amount: f64) -> String {
    let decimals = if amount > 0.0 { (1.0 - amount.log10().floor()).clamp(4.0, 12.0) as usize } else { 4 };
    format!("{amount:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::usd;

    #[test]
    fn what_costs_next_to_nothing_is_no_zero() {
        assert_eq!(
            [12.0, 0.25, 0.0, 0.000_031, 2e-7].map(usd),
            ["12.0000", "0.2500", "0.0000", "0.000031", "0.00000020"]
        );
    }
}
