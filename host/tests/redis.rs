//! Spin's Redis store against a real server: the kindnesses it does not have.

use std::sync::Arc;

use scim_edge::spin::store::Store;
use scim_edge::spin::store::redis::Redis as Connected;

#[path = "../../host-tests/src/redis.rs"]
#[allow(dead_code, missing_docs, reason = "the suites of other programs use the rest")]
mod server;
use server::Redis;

async fn opened() -> (Redis, Arc<dyn Store>) {
    let redis = Redis::start().unwrap();
    let store = Connected::connect(&redis.url()).await.unwrap();
    (redis, Arc::new(store))
}

#[tokio::test]
async fn a_swap_says_it_failed_whether_it_happened_or_not() {
    let (_redis, store) = opened().await;
    store.set("k".into(), b"a".to_vec()).await.unwrap();
    let (early, late) = (store.compare("k".into()).await.unwrap(), store.compare("k".into()).await.unwrap());
    assert_eq!(early.current().await, Ok(Some(b"a".to_vec())));
    assert_eq!(late.current().await, Ok(Some(b"a".to_vec())));
    assert_eq!(early.swap(b"b".to_vec()).await, Ok(false));
    assert_eq!(store.get("k".into()).await, Ok(Some(b"b".to_vec())), "the swap happened");
    assert_eq!(late.swap(b"c".to_vec()).await, Ok(false));
    assert_eq!(store.get("k".into()).await, Ok(Some(b"b".to_vec())), "the swap lost its race");
}

#[tokio::test]
async fn a_batch_is_written_and_removed_but_never_read() {
    let (_redis, store) = opened().await;
    let pairs = vec![("a".to_owned(), vec![0, 255]), ("b".to_owned(), vec![])];
    store.set_many(pairs).await.unwrap();
    assert_eq!(store.get("a".into()).await, Ok(Some(vec![0, 255])));
    assert!(store.get_many(vec!["a".into(), "b".into()]).await.is_err());
    assert!(store.get_many(vec!["a".into()]).await.is_err());
    let mut keys = store.keys().await.unwrap();
    keys.sort();
    assert_eq!(keys, ["a", "b"]);
    store.delete_many(vec!["a".into(), "x".into()]).await.unwrap();
    assert_eq!((store.exists("a".into()).await, store.exists("b".into()).await), (Ok(false), Ok(true)));
    store.delete("b".into()).await.unwrap();
    assert_eq!(store.get("b".into()).await, Ok(None));
}

#[tokio::test]
async fn a_counter_is_a_decimal_text() {
    let (_redis, store) = opened().await;
    assert_eq!(store.increment("n".into(), 258).await, Ok(258));
    assert_eq!(store.increment("n".into(), -1).await, Ok(257));
    assert_eq!(store.get("n".into()).await, Ok(Some(b"257".to_vec())));
}

#[tokio::test]
async fn a_server_that_may_lose_writes_is_pointed_out() {
    let redis = Redis::start().unwrap();
    let connected = Connected::connect(&redis.url()).await.unwrap();
    assert_eq!(connected.risks().await, Vec::<String>::new());
    redis.ask("CONFIG SET appendfsync everysec").unwrap();
    let risks = connected.risks().await;
    assert!(matches!(&risks[..], [risk] if risk.contains("`appendfsync` of Redis is `everysec`")), "{risks:?}");
}
