//! The table of SQLSTATE and status, and what `RAISE` can do.

use super::*;

fn report<'a>(code: &'a str, message: &'a str) -> Report<'a> {
    Report { code, message, detail: None, hint: None, in_function: false }
}

#[test]
fn each_sqlstate_has_its_status() {
    let table = [
        ("08006", 503),
        ("09000", 500),
        ("0L000", 403),
        ("0P000", 403),
        ("22012", 400),
        ("22P05", 400),
        ("23502", 400),
        ("23503", 409),
        ("23505", 409),
        ("23514", 400),
        ("25006", 405),
        ("25P02", 500),
        ("28000", 403),
        ("40001", 500),
        ("42601", 400),
        ("42703", 400),
        ("42P01", 404),
        ("42P17", 500),
        ("42883", 404),
        ("53300", 503),
        ("53400", 500),
        ("54001", 400),
        ("54011", 400),
        ("57014", 500),
        ("57P01", 503),
        ("58000", 500),
        ("HV000", 500),
        ("P0001", 400),
        ("P0002", 500),
        ("XX000", 500),
        ("PT402", 402),
        ("PTabc", 500),
        ("PT7", 500),
        ("é", 400),
    ];
    for (code, expected) in table {
        assert_eq!(reported_error(&report(code, ""), true).status().as_u16(), expected, "{code}");
    }
}

#[test]
fn a_function_that_recurses_without_end_is_not_the_callers_doing() {
    let recursion = Report { in_function: true, ..report("54001", "stack depth limit exceeded") };

    assert_eq!(reported_error(&recursion, true).status(), 500);
}

#[test]
fn insufficient_privilege_asks_the_anonymous_to_log_in() {
    let denied = report("42501", "permission denied for table todos");

    assert_eq!(reported_error(&denied, false).status(), 401);
    assert_eq!(reported_error(&denied, true).status(), 403);
}

#[test]
fn a_role_that_does_not_exist_is_the_tokens_fault() {
    assert_eq!(reported_error(&report("22023", "role \"x\" does not exist"), true).status(), 401);
    assert_eq!(reported_error(&report("22023", "invalid value for parameter"), true).status(), 400);
}

#[test]
fn a_database_in_trouble_is_marked_as_the_tenants() {
    let error = reported_error(&report("57P01", "terminating connection"), true);

    assert_eq!(error.headers[FAULT_HEADER], "tenant");
    assert_eq!(error.headers["retry-after"], "1");
    assert_eq!(error.message, "terminating connection");
}

const FAULT_HEADER: &str = "x-meshbase-fault";

#[test]
fn a_function_may_write_the_whole_response() {
    let raise = Report {
        code: "PGRST",
        message: r#"{"code":"123","message":"Payment Required","details":"Quota exceeded","hint":"Upgrade"}"#,
        detail: Some(r#"{"status":402,"headers":{"X-Powered-By":"Nerd Rage"}}"#),
        ..report("PGRST", "")
    };

    let error = reported_error(&raise, true);

    assert_eq!(error.status(), 402);
    assert_eq!(error.code.name(), "123");
    assert_eq!(error.hint.as_deref(), Some("Upgrade"));
    assert_eq!(error.headers["x-powered-by"], "Nerd Rage");
}

#[test]
fn a_raise_that_is_not_json_is_named() {
    let no_detail = report("PGRST", r#"{"code":"1","message":"m"}"#);

    assert_eq!(reported_error(&report("PGRST", "oops"), true).code, RAISED_JSON);
    assert_eq!(reported_error(&no_detail, true).code, RAISED_JSON);
}
