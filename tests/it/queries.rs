//! Every committed query still prepares on the migrated schema.

use std::path::Path;

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, Executor, SqlSafeStr};

use crate::support::{App, run};

#[test]
fn every_checked_query_prepares_on_the_migrated_schema() {
    run(async {
        let app = App::new().await;
        let mut connection = app.connect("admin").await;
        for target in [meshbase::migrate::Target::Platform, meshbase::migrate::Target::Control] {
            meshbase::migrate::run(target, &mut connection).await.expect("it migrates");
        }
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(".sqlx");
        let mut count = 0;
        for entry in std::fs::read_dir(folder).expect("make sqlx wrote it").flatten() {
            let text = std::fs::read_to_string(entry.path()).unwrap();
            let data: Value = serde_json::from_str(&text).unwrap();
            let query = data["query"].as_str().unwrap().to_owned();
            let prepared = connection.prepare(AssertSqlSafe(query.clone()).into_sql_str()).await;
            assert!(prepared.is_ok(), "{query}: {:?}", prepared.err());
            count += 1;
        }
        assert!(count > 20, "only {count} queries were found");
        connection.close().await.unwrap();
    });
}
