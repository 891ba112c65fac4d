//! Sockets of the daemon: made under another name, then moved into place, so that a client never finds one that is not ready, and a
//! socket that a killed daemon left is replaced.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tokio::net::UnixListener;

use crate::error::{Error, Result};

/// The group that may use the daemon, where there is one of this name.
const GROUP: &str = "orca";

/// Who may connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Only root.
    Root,
    /// Root, and the group `orca`.
    Group,
}

/// Listens at `path`.
pub fn listen(path: &Path, access: Access) -> Result<UnixListener> {
    let error = |source| Error::File { action: "listen at", path: path.into(), source };
    let draft = path.with_extension("new");
    let _ = std::fs::remove_file(&draft);
    let listener = UnixListener::bind(&draft).map_err(error)?;
    let mode = if access == Access::Group { 0o660 } else { 0o600 };
    std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(mode)).map_err(error)?;
    if access == Access::Group
        && let Some(gid) = std::fs::read_to_string("/etc/group").ok().and_then(|text| group_id(&text))
    {
        std::os::unix::fs::chown(&draft, None, Some(gid)).map_err(error)?;
    }
    std::fs::rename(&draft, path).map_err(error)?;
    Ok(listener)
}

/// The group's number in the text of /etc/group (group(5)).
fn group_id(text: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(GROUP)).then(|| fields.nth(1)?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_is_found() {
        assert_eq!(group_id("root:x:0:\norca:x:998:ann,bob\n"), Some(998));
        assert_eq!(group_id("root:x:0:\norcas:x:1:\n"), None);
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.sock");
        drop(listen(&path, Access::Root).unwrap());
        let _listener = listen(&path, Access::Root).unwrap();
        assert!(tokio::net::UnixStream::connect(&path).await.is_ok());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
