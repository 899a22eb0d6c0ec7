//! Domains that look otherwise outside than inside, by the implicit casts that the project made for them.

use serde_json::json;

use super::{read, rest};
use crate::support::{App, run};

const SCHEMA: &str = r#"
    create domain public.colour as int;
    create function public.colour_json(public.colour) returns json language sql immutable
        as $$ select to_json('#' || lpad(upper(to_hex($1)), 6, '0')) $$;
    create function public.colour_of(text) returns public.colour language sql immutable
        as $$ select ('x' || lpad(ltrim($1, '#'), 8, '0'))::bit(32)::int::public.colour $$;
    create function public.colour_of(json) returns public.colour language sql immutable
        as $$ select public.colour_of($1 #>> '{}') $$;
    create cast (public.colour as json) with function public.colour_json(public.colour) as implicit;
    create cast (text as public.colour) with function public.colour_of(text) as implicit;
    create cast (json as public.colour) with function public.colour_of(json) as implicit;
    create table public.labels (id int primary key, name text, colour public.colour);
    create table public.notes (id int primary key, label int references public.labels);
    insert into public.labels values (1, 'red', 16711680), (2, 'none', null);
    insert into public.notes values (1, 1);
    create view public.seen as select id, colour from public.labels;
"#;

#[test]
fn a_domain_is_shown_and_filtered_as_its_casts_say() {
    run(async {
        let app = App::with(SCHEMA).await;
        let service = app.service();
        for (path, expected) in [
            ("labels?id=eq.1", json!([{"id": 1, "name": "red", "colour": "#FF0000"}])),
            ("labels?select=c:colour&order=id", json!([{"c": "#FF0000"}, {"c": null}])),
            ("labels?select=colour,*&id=eq.2", json!([{"colour": null, "id": 2, "name": "none"}])),
            ("labels?select=text:colour::text&id=eq.1", json!([{"text": "\"#FF0000\""}])),
            ("seen?select=colour&id=eq.1", json!([{"colour": "#FF0000"}])),
            ("notes?select=labels(colour)", json!([{"labels": {"colour": "#FF0000"}}])),
            ("notes?select=labels(*)", json!([{"labels": {"id": 1, "name": "red", "colour": "#FF0000"}}])),
            ("labels?select=id&colour=eq.ff0000", json!([{"id": 1}])),
            ("labels?select=id&colour=in.(ff0000,000001)", json!([{"id": 1}])),
            ("labels?select=id&colour=not.in.(000001)", json!([{"id": 1}])),
            ("labels?select=id&or=(colour.neq.000001,id.eq.2)&order=id", json!([{"id": 1}, {"id": 2}])),
            ("labels?select=id&colour=is.null", json!([{"id": 2}])),
        ] {
            assert_eq!(read(&service, path).await, expected, "{path}");
        }
    });
}

#[test]
fn a_body_is_read_as_the_casts_say() {
    run(async {
        let app = App::with(SCHEMA).await;
        let service = app.service();
        let returned = |call: crate::support::Call| call.header("prefer", "return=representation").send();

        let rows = json!([{"id": 3, "colour": "#0000ff"}, {"id": 4, "colour": null}]);
        let made = returned(service.post(&rest("labels?select=id,colour")).json(rows)).await.expect(201);
        assert_eq!(made.json(), json!([{"id": 3, "colour": "#0000FF"}, {"id": 4, "colour": null}]));

        let changed = service.patch(&rest("seen?id=eq.3")).json(json!({"colour": "00ff00"}));
        assert_eq!(returned(changed).await.expect(200).json(), json!([{"id": 3, "colour": "#00FF00"}]));
        assert_eq!(app.value("select colour::int from public.labels where id = 3").await, json!(0x00_ff00));
    });
}
