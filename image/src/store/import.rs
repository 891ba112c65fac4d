//! `image import`: a root filesystem tar becomes an image of one layer.

use std::io::Read;

use super::Store;
use crate::archive::{Decoder, Limited, TarReader};
use crate::content::ingest;
use crate::digest::Digest;
use crate::dockerfile::apply_change;
use crate::error::{Error, Result};
use crate::manifest::{History, ImageConfig, Platform, RootFs, RunConfig};
use crate::reference::Reference;
use crate::rfc3339;

/// What `image import` says besides the archive.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// The name of the image; none leaves it untagged.
    pub name: Option<Reference>,
    /// Dockerfile instructions, in order.
    pub changes: Vec<String>,
    /// The commit message.
    pub message: Option<String>,
    /// What the image is for; none means this node's platform.
    pub platform: Option<Platform>,
    /// Where the archive came from, for the history: a file's name or `-`.
    pub source: String,
    /// Seconds since the epoch.
    pub now: i64,
}

impl Store {
    /// Imports a tar (plain, gzip or zstd) from `source` and returns the image's id.
    ///
    /// # Errors
    /// [`Error::InvalidChange`] before anything is read; what is wrong with the archive; nothing stays then.
    pub fn import(&self, source: impl Read, options: &ImportOptions) -> Result<Digest> {
        let mut run = RunConfig::default();
        options.changes.iter().try_for_each(|change| apply_change(&mut run, change))?;
        if let Some(name) = options.name.as_ref().filter(|name| name.digest().is_some()) {
            return Err(Error::TagNeeded { reference: name.familiar() });
        }
        let layer = ingest(&self.content, source, self.limits.bytes)?;
        let (diff_id, _) =
            layer.diff.clone().map_err(|reason| Error::archive(format!("it doesn't uncompress: {reason}")))?;
        self.check_layer(&layer.blob)?;

        let created = rfc3339::format_utc(options.now, 0);
        let platform = options.platform.clone().unwrap_or_else(Platform::host);
        let comment = options.message.clone().unwrap_or_else(|| format!("Imported from {}", options.source));
        let config = ImageConfig {
            created: Some(created.clone()),
            author: None,
            comment: Some(comment.clone()),
            architecture: platform.architecture,
            os: platform.os,
            variant: platform.variant,
            config: run,
            rootfs: RootFs { diff_ids: vec![diff_id], ..RootFs::default() },
            history: vec![History { created: Some(created), comment: Some(comment), ..History::default() }],
        };
        self.add_image(vec![layer], &config, options.name.as_ref(), options.now)
    }

    /// Walks a layer's entries, so that what is no archive is refused at import and not at the first run.
    fn check_layer(&self, blob: &crate::content::StagedBlob) -> Result<()> {
        let decoder = Decoder::detect(blob.open()?).map_err(|error| Error::io("read", "the archive", error))?;
        let mut tar = TarReader::new(Limited::new(decoder, self.limits.bytes, "bytes"), self.limits);
        while tar.next_entry()?.is_some() {}
        Ok(())
    }
}
