//! The engine under duress: mass expiry, an index that grows, one huge value, resident memory, huge pages, a restart.
//!
//! Prints figures and asserts nothing. `cargo bench -p larder-benches --bench engine-duress -- WHAT`,
//! where WHAT is `expiry`, `index`, `huge`, `rss`, `server`, `pages` or `save`; all of them without it.
//!
//! Every operation is timed by the wall's clock and by the thread's own. The latter leaves out what
//! other processes take of the processor, but not page faults: where these matter the same is done a
//! second time, in memory that has been touched.

mod expiry;
mod huge;
mod index;
mod pages;
mod rss;
mod save;
mod server;
mod timing;

fn main() {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let parts: [(&str, fn()); 7] = [
        ("expiry", expiry::run),
        ("index", index::run),
        ("huge", huge::run),
        ("rss", rss::run),
        ("server", server::run),
        ("pages", pages::run),
        ("save", save::run),
    ];
    for (name, run) in parts {
        if wanted.is_empty() || wanted.iter().any(|other| other == name) {
            println!("== {name}");
            run();
        }
    }
}
