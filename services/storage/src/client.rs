//! Clients with a defect that a server can spare them.

/// Whether the client fails on fields of a bucket that it does not know: storage3 before 0.12.1, supabase-py before 2.18.0.
pub(crate) fn fails_on_unknown_fields(client_info: &str, user_agent: &str) -> bool {
    is_older(client_info, "supabase-py/", (2, 18, 0))
        || is_older(user_agent, "supabase-py/storage3 v", (0, 12, 1))
}

/// Whether `text` names `client` with a version before `fixed`.
fn is_older(text: &str, client: &str, fixed: (u32, u32, u32)) -> bool {
    let Some((_, version)) = text.split_once(client) else {
        return false;
    };
    let version = version.split(|c: char| !c.is_ascii_digit() && c != '.').next().unwrap_or_default();
    let mut numbers = version.split('.').map(str::parse);
    match (numbers.next(), numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor)), Some(Ok(patch))) => (major, minor, patch) < fixed,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::fails_on_unknown_fields;

    #[test]
    fn only_old_python_clients_fail() {
        assert!(fails_on_unknown_fields("supabase-py/2.17.9", ""));
        assert!(fails_on_unknown_fields("", "supabase-py/storage3 v0.12.0"));
        assert!(!fails_on_unknown_fields("supabase-py/2.18.0", "supabase-py/storage3 v0.12.1"));
        assert!(!fails_on_unknown_fields("supabase-js/1.0.0", "Mozilla/5.0"));
        assert!(!fails_on_unknown_fields("supabase-py/x", ""));
    }
}
