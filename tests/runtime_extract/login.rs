//! Logging in: TLS, both passwords' plugins, a rotated secret.

use std::time::Duration;

use crate::servers::Kind;
use crate::world::{World, event, secret};

async fn logs_in(kind: Kind) {
    let world = World::with(kind, &[]).await;
    world
        .server
        .sql("CREATE TABLE shop.t (id INT PRIMARY KEY); INSERT INTO shop.t VALUES (1)");
    let event = event("t", &["id"], serde_json::json!({"count": 0}));
    // Verified TLS. On MySQL the server does not know the proof yet, and asks for the password itself.
    assert_eq!(world.extract(&event)["rows"], 1);
    // The server knows the proof now.
    assert_eq!(world.extract(&event)["rows"], 1);
    // The password changes: the function reads the secret again.
    world.server.password("another one", false);
    let refused = world.within(Duration::from_secs(60), &event).unwrap_err().to_string();
    assert!(
        refused.contains("reader") && refused.contains("check the secret db"),
        "{refused}"
    );
    assert!(!refused.contains("real"), "{refused}");
    let rotated = secret(world.server.port, "another one");
    world
        .secrets
        .put_secret_value()
        .secret_id("db")
        .secret_string(rotated)
        .send()
        .await
        .unwrap();
    assert_eq!(world.extract(&event)["rows"], 1);
    // A certificate that RDS's roots do not vouch for is refused.
    let strict = crate::world::function(&world.cloud, &[]);
    let refused = strict.invoke(Duration::from_secs(60), &event).unwrap_err().to_string();
    assert!(refused.contains("TLS"), "{refused}");
    let missing = serde_json::json!({"do": "extract", "schema": "shop", "table": "none", "watermark": ["id"]});
    let refused = world.within(Duration::from_secs(60), &missing).unwrap_err().to_string();
    assert!(
        refused.contains("shop.none") && refused.contains("GRANT SELECT"),
        "{refused}"
    );
}

#[tokio::test]
async fn logs_in_to_mysql() {
    logs_in(Kind::MySql).await;
}

#[tokio::test]
async fn logs_in_to_mariadb() {
    logs_in(Kind::MariaDb).await;
}
