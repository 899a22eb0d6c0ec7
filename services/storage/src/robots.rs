//! The values that `X-Robots-Tag` may have.
//!
//! Source: developers.google.com/search/docs/crawling-indexing/robots-meta-tag.

use base::Result;
use serde_json::json;

use crate::error::INVALID_REQUEST;

const RULES: [&str; 8] =
    ["all", "noindex", "nofollow", "none", "nosnippet", "indexifembedded", "notranslate", "noimageindex"];

/// Refuses a value with a rule that crawlers do not know; a rule may be for one crawler, as in `bot: noindex`.
pub(crate) fn check(value: &str) -> Result<()> {
    let refused = |rule: &str| {
        INVALID_REQUEST
            .error(format!("Invalid X-Robots-Tag header: \"{rule}\""))
            .with_details(json!({ "error": "invalid_x_robots_tag" }))
    };
    let mut rest = value.trim();
    loop {
        // a date has commas of its own, so that it can only be the last rule
        if is_date(rest) {
            return Ok(());
        }
        let (rule, following) =
            rest.split_once(',').map_or((rest, None), |(rule, rest)| (rule.trim(), Some(rest.trim())));
        if !is_rule(rule)
            && !rule.split_once(':').is_some_and(|(bot, rule)| is_bot(bot) && is_rule(rule.trim()))
        {
            return Err(refused(rule));
        }
        match following {
            Some(following) => rest = following,
            None => return Ok(()),
        }
    }
}

fn is_rule(rule: &str) -> bool {
    match rule.split_once(':').map(|(name, value)| (name, value.trim())) {
        Some(("max-snippet" | "max-video-preview", number)) => number.parse::<i32>().is_ok(),
        Some(("max-image-preview", size)) => matches!(size, "none" | "standard" | "large"),
        Some(_) => false,
        None => RULES.contains(&rule),
    }
}

fn is_date(rule: &str) -> bool {
    rule.strip_prefix("unavailable_after:").is_some_and(|date| !date.trim().is_empty())
}

fn is_bot(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn known_rules_pass() {
        for good in [
            "none",
            "noindex, nofollow",
            "googlebot: noindex",
            "max-snippet: -1, max-image-preview:large",
            "unavailable_after: 25 Jun 2030 15:00:00 PST",
            "noindex, unavailable_after: Mon, 25 Jun 2030 15:00:00 GMT",
        ] {
            assert!(check(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn unknown_rules_do_not() {
        for bad in ["", "maybe", "noindex,", "max-snippet:x", "bot:", "bot: maybe", "a b: noindex"] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
