//! A page of results in one call: the memory of all keys is fetched at once.

use std::ops::ControlFlow;

use larder::{Cache, Error, Ttl};

fn main() -> Result<(), Error> {
    let cache = Cache::with_limit(16 << 20)?;
    for number in 0..100 {
        let key = format!("product/{number}");
        cache.set(
            key.as_bytes(),
            format!("{number} EUR").as_bytes(),
            Ttl::seconds(60),
        )?;
    }
    let keys: Vec<String> = (90..110)
        .map(|number| format!("product/{number}"))
        .collect();
    let keys: Vec<&[u8]> = keys.iter().map(String::as_bytes).collect();

    let (mut prices, mut missing) = (Vec::new(), Vec::new());
    cache.get_many(&keys, |position, item| {
        match item {
            Some(item) => prices.push(item.value().to_vec()),
            None => missing.push(keys[position]),
        }
        ControlFlow::Continue(())
    });
    assert_eq!((prices.len(), missing.len()), (10, 10));
    assert_eq!(prices[9], b"99 EUR");
    Ok(())
}
