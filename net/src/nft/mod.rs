//! nf_tables and the connection table over netlink.
//!
//! [`replace`] swaps this node's whole table in one transaction: packets see the old table or the new one, established
//! connections keep their translation. [`open_passage`] lets forwarded packets through the tables of
//! others that would drop them. [`cut_stale_flows`] deletes UDP entries that lead to backends which are gone.
//! The encoding follows `linux/netfilter/nf_tables.h`.

mod conntrack;
mod encode;
mod expression;
mod foreign;

use crate::Error;
use crate::netlink::message::{Batch, NLM_F_CREATE, NLM_F_EXCL};
use crate::netlink::socket::Netlink;
use crate::plan::Family;
use crate::ruleset::{Ruleset, SetDelta};

pub use conntrack::cut_stale_flows;
pub use foreign::{Passage, close_passage, open_passage};

/// `NFNL_SUBSYS_NFTABLES << 8`.
const SUBSYSTEM: u16 = 10 << 8;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEWTABLE: u16 = SUBSYSTEM;
const DELTABLE: u16 = SUBSYSTEM | 2;
const TABLE_NAME: u16 = 1;

/// `NFPROTO_IPV4` or `NFPROTO_IPV6`.
const fn number(family: Family) -> u8 {
    match family {
        Family::V4 => 2,
        Family::V6 => 10,
    }
}

/// The word that nft has for a family.
const fn word(family: Family) -> &'static str {
    match family {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    }
}

/// `struct nfgenmsg` of a family and resource.
const fn generic(family: u8, resource: u16) -> [u8; 4] {
    let resource = resource.to_be_bytes();
    [family, 0, resource[0], resource[1]]
}

/// Puts tables in the place of those of the same name and family, where there are, in one transaction, in the calling
/// thread's network namespace.
pub fn replace<'a>(rulesets: impl IntoIterator<Item = &'a Ruleset>) -> Result<(), Error> {
    let mut batch = begin();
    for ruleset in rulesets {
        clear(&mut batch, ruleset.family, &ruleset.table);
        encode::table(&mut batch, ruleset, 0);
    }
    commit(batch)
}

/// Changes elements of sets of tables that are there, in one transaction. The kernel refuses it whole where they are not as
/// they are believed to be.
pub fn change<'a>(tables: impl IntoIterator<Item = (&'a Ruleset, Vec<SetDelta<'a>>)>) -> Result<(), Error> {
    let mut batch = begin();
    for (ruleset, changes) in tables {
        encode::changes(&mut batch, ruleset.family, &ruleset.table, &changes);
    }
    // The transaction's own first message is in it.
    if batch.len() > 1 { commit(batch) } else { Ok(()) }
}

/// Adds a table whose name is new, or else does as [`replace`]: adding alone costs a tenth, since the kernel has nothing
/// to wait for.
pub fn add_or_replace(ruleset: &Ruleset) -> Result<(), Error> {
    let mut batch = begin();
    encode::table(&mut batch, ruleset, NLM_F_EXCL);
    match commit(batch) {
        Err(Error::Refused { source, .. }) if source.kind() == std::io::ErrorKind::AlreadyExists => replace([ruleset]),
        done => done,
    }
}

/// Removes a table if it exists; a kernel without the family has none.
pub fn remove(family: Family, table: &str) -> Result<(), Error> {
    let mut batch = begin();
    clear(&mut batch, family, table);
    match commit(batch) {
        Err(Error::Refused { source, .. })
            if matches!(source.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EOPNOTSUPP)) =>
        {
            Ok(())
        }
        done => done,
    }
}

fn begin() -> Batch {
    let mut batch = Batch::default();
    batch.message("begin a transaction", BATCH_BEGIN, 0, &generic(0, 10), |_| {});
    batch
}

/// Adding before deleting makes deleting right whether or not the table exists.
fn clear(batch: &mut Batch, family: Family, table: &str) {
    let name = |a: &mut crate::netlink::message::Attributes| a.text(TABLE_NAME, table);
    let (header, word) = (generic(number(family), 0), word(family));
    batch.message(format!("add table {word} {table}"), NEWTABLE, NLM_F_CREATE, &header, name);
    batch.message(format!("delete table {word} {table}"), DELTABLE, 0, &header, name);
}

fn commit(mut batch: Batch) -> Result<(), Error> {
    batch.message("commit a transaction", BATCH_END, 0, &generic(0, 10), |_| {});
    let socket = Netlink::netfilter()?;
    socket.enlarge(batch.as_bytes().len())?;
    socket.send(batch.as_bytes())?;
    socket.pending_refusal(&batch)?.map_or(Ok(()), |refusal| Err(refusal.into()))
}
