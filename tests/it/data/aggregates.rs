//! Aggregates: over rows, over groups of them, and of relations that are spread.

use serde_json::json;

use super::{assert_refused, read, rest};
use crate::support::{App, run};

const SCHEMA: &str = "
    create table public.regions (id int primary key, name text);
    create table public.shops (id int primary key, name text, rent numeric, region int references public.regions);
    create table public.sales (id int primary key, shop int references public.shops, amount int);
    insert into public.regions values (1, 'coast'), (2, 'hills');
    insert into public.shops values (1, 'north', 10, 1), (2, 'south', 20, 1), (3, 'west', 30, 2);
    insert into public.sales values (1, 1, 5), (2, 1, 7), (3, 2, 11), (4, 3, 13), (5, null, 17);
";

async fn aggregating() -> App {
    let app = App::with(SCHEMA).await;
    app.settings("data", json!({"aggregates_enabled": true})).await;
    app
}

#[test]
fn rows_are_grouped_by_all_that_is_not_aggregated() {
    run(async {
        let app = aggregating().await;
        let service = app.service();
        for (path, expected) in [
            ("sales?select=amount.sum()", json!([{"sum": 53}])),
            ("sales?select=n:count(),most:amount.max()::text", json!([{"n": 5, "most": "17"}])),
            (
                "sales?select=shop,amount.avg()::int&order=shop",
                json!([
                {"shop": 1, "avg": 6}, {"shop": 2, "avg": 11}, {"shop": 3, "avg": 13}, {"shop": null, "avg": 17}]),
            ),
            (
                "shops?select=name,sales(amount.sum())&order=id&limit=1",
                json!([{"name": "north", "sales": [{"sum": 12}]}]),
            ),
            (
                "shops?select=*,count()&id=eq.1",
                json!([{"id": 1, "name": "north", "rent": 10, "region": 1, "count": 1}]),
            ),
        ] {
            assert_eq!(read(&service, path).await, expected, "{path}");
        }
    });
}

#[test]
fn an_aggregate_in_a_spread_relation_is_over_the_parents_rows() {
    run(async {
        let app = aggregating().await;
        let service = app.service();
        for (path, expected) in [
            ("sales?select=...shops(rent.sum())", json!([{"sum": 70}])),
            (
                "sales?select=amount.sum(),...shops(name,rent.max())&order=shops(name)&shop=not.is.null",
                json!([
                {"sum": 12, "name": "north", "max": 10},
                {"sum": 11, "name": "south", "max": 20},
                {"sum": 13, "name": "west", "max": 30}]),
            ),
            ("sales?select=n:count(),...shops(known:count())", json!([{"n": 5, "known": 4}])),
            (
                "sales?select=...shops(...regions(name),rent.sum())&shop=not.is.null&order=shops(name)",
                json!([
                {"sum": 40, "name": "coast"}, {"sum": 30, "name": "hills"}]),
            ),
            ("sales?select=...shops(...regions(count()))", json!([{"count": 4}])),
            ("sales?select=...shops(rent.sum(),n:id.sum())&shop=eq.1", json!([{"sum": 20, "n": 2}])),
            (
                "sales?select=...shops(most:rent.max(),...regions(deep:id.max()),id.max())&shop=eq.3",
                json!([{"most": 30, "max": 3, "deep": 2}]),
            ),
            (
                "regions?select=name,shops(...regions(count()))&id=eq.1",
                json!([{"name": "coast", "shops": [{"count": 2}]}]),
            ),
            (
                "sales?select=...shops(*,total:rent.sum()::text)&id=eq.1",
                json!([
                {"id": 1, "name": "north", "rent": 10, "region": 1, "total": "10"}]),
            ),
        ] {
            assert_eq!(read(&service, path).await, expected, "{path}");
        }
    });
}

#[test]
fn lists_are_not_aggregated_and_nothing_is_unless_the_project_says_so() {
    run(async {
        let app = aggregating().await;
        let service = app.service();
        for path in
            ["shops?select=name,...sales(amount.sum())", "regions?select=...shops(...regions(count()))"]
        {
            assert_refused(&service.get(&rest(path)).send().await, 400, "PGRST127");
        }
        let service = App::with(SCHEMA).await.service();
        for path in ["sales?select=count()", "sales?select=...shops(rent.sum())"] {
            assert_refused(&service.get(&rest(path)).send().await, 400, "PGRST123");
        }
    });
}
