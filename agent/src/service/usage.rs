//! How much disk containers and volumes use.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use api::node as wire;
use tonic::Status;

use super::{NodeService, blocking};

/// Bytes of the files below a directory, each counted once however many names it has; what cannot be read counts nothing.
/// Symbolic links are not followed, nor are other file systems entered.
pub fn bytes(directory: &Path) -> u64 {
    let Ok(top) = fs::symlink_metadata(directory) else { return 0 };
    let mut seen = BTreeSet::new();
    let mut waiting: Vec<PathBuf> = vec![directory.to_path_buf()];
    let mut total = 0;
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let Ok(data) = entry.metadata() else { continue };
            if data.is_dir() && data.dev() == top.dev() {
                waiting.push(entry.path());
            } else if data.is_file() && (data.nlink() == 1 || seen.insert((data.dev(), data.ino()))) {
                total += data.len();
            }
        }
    }
    total
}

/// Adds to containers how much they have written, and how large they are with their images.
pub async fn measure(
    service: &NodeService,
    mut containers: Vec<wire::Container>,
) -> Result<Vec<wire::Container>, Status> {
    let all = service.containers().clone();
    let measured = blocking("measuring containers", move || {
        let images = all.images();
        for container in &mut containers {
            let Ok(id) = container.id.parse() else { continue };
            let written = bytes(&all.upper(id));
            let image = images.inspect(&container.image_id).map_or(0, |image| image.size);
            container.size_rw = Some(written);
            container.size_root_fs = Some(written + image);
        }
        Ok(containers)
    });
    Ok(measured.await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_counts_once() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("a")).unwrap();
        fs::write(dir.path().join("a/one"), [0; 100]).unwrap();
        fs::hard_link(dir.path().join("a/one"), dir.path().join("two")).unwrap();
        std::os::unix::fs::symlink("/etc", dir.path().join("link")).unwrap();
        fs::write(dir.path().join("three"), [0; 11]).unwrap();
        assert_eq!(bytes(dir.path()), 111);
        assert_eq!(bytes(&dir.path().join("nothing")), 0);
    }
}
