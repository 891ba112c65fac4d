//! Where the result of a build goes.

use std::io::{self, Write};
use std::sync::Arc;

use api::image as wire;
use image::Reference;
use tokio::sync::mpsc;
use tonic::Status;
use wire::build_output::Output;

use super::builder::Builder;
use super::failure::Result;
use super::state::State;
use crate::events::Kind;
use crate::service::blocking;

/// Bytes of a message.
const CHUNK: usize = 256 << 10;

impl Builder {
    /// Hands over what the target has come to.
    pub(super) async fn export(self: &Arc<Builder>, target: &State, names: Vec<Reference>) -> Result<()> {
        let mut config = target.config.clone();
        config.config.labels.extend(self.start.labels.clone());
        config.created = Some(image::format_utc(target.created, 0));
        match self.start.export() {
            wire::BuildExport::None => self.client.tell(Output::Done(wire::BuildDone::default())).await,
            wire::BuildExport::Files => self.files_out(target).await,
            wire::BuildExport::Image => {
                let step = self.client.begin("exporting to image".to_owned()).await?;
                let done = self.image_out(config, target, names).await?;
                self.client.end(step, false, None).await?;
                self.client.tell(Output::Done(done)).await
            }
            wire::BuildExport::Archive => {
                let step = self.client.begin("exporting to an archive".to_owned()).await?;
                let done = self.archive_out(config, target, names).await?;
                self.client.end(step, false, None).await?;
                self.client.tell(Output::Done(done)).await
            }
        }
    }

    async fn image_out(
        self: &Arc<Builder>,
        config: image::manifest::ImageConfig,
        target: &State,
        names: Vec<Reference>,
    ) -> Result<wire::BuildDone> {
        let (store, layers, now) = (self.store.clone(), target.layers.clone(), crate::clock::wall());
        let now = now.0.div_euclid(1_000_000_000);
        let own: Vec<Reference> = names.into_iter().map(Reference::with_default_tag).collect();
        let names: Vec<String> = own.iter().map(ToString::to_string).collect();
        let made = blocking("making an image", move || Ok(store.finish_build(&config, &layers, &own, now)?));
        let (id, digest) = made.await?;
        let familiar = names.first().cloned().unwrap_or_else(|| id.to_string());
        self.containers.events().record(Kind::Image, "build", id.to_string(), &[("name", familiar)]);
        Ok(wire::BuildDone { id: Some(id.to_string()), digest: Some(digest.to_string()), names })
    }

    /// The image as an archive. It is one of the node's images only meanwhile, unless it was before.
    async fn archive_out(
        self: &Arc<Builder>,
        config: image::manifest::ImageConfig,
        target: &State,
        names: Vec<Reference>,
    ) -> Result<wire::BuildDone> {
        let id = image::Store::assemble(&config, &target.layers)?.id.to_string();
        let own: Vec<String> = names.iter().map(|name| name.clone().with_default_tag().to_string()).collect();
        let (store, wanted) = (self.store.clone(), id.clone());
        let was_there = blocking("looking up an image", move || Ok(store.get(&wanted).is_ok())).await?;
        let before = {
            let (store, own) = (self.store.clone(), own.clone());
            let found = move || own.iter().map(|name| store.get(name).ok().map(|image| image.id.to_string())).collect();
            blocking("looking up images", move || Ok::<Vec<Option<String>>, crate::Error>(found())).await?
        };
        let done = self.image_out(config, target, names).await?;
        let images = if own.is_empty() { vec![id.clone()] } else { own.clone() };
        let (store, sender) = (self.store.clone(), self.client.sender());
        let saved = blocking("writing an archive", move || {
            let writer = io::BufWriter::with_capacity(CHUNK, Chunks(sender));
            Ok(store.save(&images, None, writer)?)
        });
        let saved = saved.await;
        // Names mean again what they meant.
        let containers = self.containers.clone();
        let restored = blocking("removing an image", move || {
            let store = containers.images();
            for (name, before) in own.iter().zip(before) {
                match before {
                    Some(before) => {
                        store.tag(&before, &name.parse()?, crate::clock::wall().0.div_euclid(1_000_000_000))?
                    }
                    None => drop(store.remove(name, false, || containers.image_users())),
                }
            }
            if !was_there {
                let _ = store.remove(&id, false, || containers.image_users());
            }
            Ok(())
        });
        restored.await?;
        saved?;
        Ok(done)
    }

    async fn files_out(self: &Arc<Builder>, target: &State) -> Result<()> {
        let step = self.client.begin("exporting to client".to_owned()).await?;
        let root = self.root(target).await?;
        let (sender, newest) = (self.client.sender(), self.start.source_date_epoch);
        let packed = blocking("packing files", move || {
            let mut writer = io::BufWriter::with_capacity(CHUNK, Chunks(sender));
            image::build::pack_tree(&root, newest, &mut writer)?;
            writer.flush().map_err(crate::Error::io("send", "the image's files"))
        });
        packed.await?;
        self.client.end(step, false, None).await?;
        self.client.tell(Output::Done(wire::BuildDone::default())).await
    }
}

/// Sends what is written.
struct Chunks(mpsc::Sender<std::result::Result<wire::BuildOutput, Status>>);

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(CHUNK);
        let output = Some(Output::Export(bytes[..count].to_vec()));
        match self.0.blocking_send(Ok(wire::BuildOutput { output })) {
            Ok(()) => Ok(count),
            Err(_) => Err(io::Error::new(io::ErrorKind::BrokenPipe, "the client went away")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
