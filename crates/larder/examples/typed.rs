//! Users by number, in whatever types serde can serialize.

use std::sync::Arc;

use larder::{Cache, Postcard, Ttl, TypedCache, TypedError};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct User {
    name: String,
    visits: u32,
}

fn main() -> Result<(), TypedError> {
    let cache = Arc::new(Cache::with_limit(16 << 20)?);
    // Several typed caches may share one limit: their prefixes tell them apart.
    let users = TypedCache::new(Arc::clone(&cache), b"user/", Postcard);
    let load = || {
        (
            User {
                name: "Ada".into(),
                visits: 0,
            },
            Ttl::seconds(60),
        )
    };

    let user = users.get_or_insert_with(&7_u32, load)?;
    assert_eq!((user.name.as_str(), user.visits), ("Ada", 0));
    let visited = |user: User| User {
        visits: user.visits + 1,
        ..user
    };
    users.update(&7, visited)?;
    assert_eq!(users.get(&7)?.map(|user| user.visits), Some(1));
    assert_eq!(users.get(&8)?, None);
    Ok(())
}
