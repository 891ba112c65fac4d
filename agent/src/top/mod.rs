//! What `ps` shows of a container's processes, read from /proc: no program of that name is needed on the host.
//!
//! - [`options`]: which columns the arguments mean · [`column`]: what stands in each, both pure · [`process`]: what /proc says

mod column;
mod options;
mod process;

use std::collections::BTreeSet;

pub use column::Column;
pub use options::columns;

use process::Host;

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Its header.
    pub titles: Vec<String>,
    /// A row for each process, by number.
    pub rows: Vec<Vec<String>>,
}

/// These processes in these columns. One that ends meanwhile is left out.
pub fn list(columns: &[(Column, String)], pids: &BTreeSet<u32>) -> Listing {
    let host = Host::read();
    let processes = pids.iter().filter_map(|pid| process::read(*pid));
    let rows = processes.map(|process| columns.iter().map(|(column, _)| column.cell(&process, &host)).collect());
    Listing { titles: columns.iter().map(|(_, title)| title.clone()).collect(), rows: rows.collect() }
}
