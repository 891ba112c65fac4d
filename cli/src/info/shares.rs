//! How images share layers on the disk. Pure.

use std::collections::BTreeMap;

use api::node::Image;

/// A layer that lies on the same layers as another of the same content is one with it.
struct Layer {
    size: u64,
    images: usize,
    /// Whether a container uses one of the images.
    active: bool,
}

/// The layers of a node's images.
pub struct Layers(BTreeMap<Vec<String>, Layer>);

impl Layers {
    /// Those of these images.
    pub fn of(images: &[Image]) -> Self {
        let mut layers: BTreeMap<Vec<String>, Layer> = BTreeMap::new();
        for image in images {
            for (chain, size) in chains(image) {
                let layer = layers.entry(chain).or_insert(Layer { size, images: 0, active: false });
                layer.images += 1;
                layer.active |= image.containers > 0;
            }
        }
        Self(layers)
    }

    /// Bytes of all of them, each once.
    pub fn size(&self) -> u64 {
        self.0.values().map(|layer| layer.size).sum()
    }

    /// Bytes of those that no container needs.
    pub fn idle(&self) -> u64 {
        self.0.values().filter(|layer| !layer.active).map(|layer| layer.size).sum()
    }

    /// Bytes of an image's layers that other images have, too.
    pub fn shared(&self, image: &Image) -> u64 {
        let others = |chain: &Vec<String>| self.0.get(chain).is_some_and(|layer| layer.images > 1);
        chains(image).filter(|(chain, _)| others(chain)).map(|(_, size)| size).sum()
    }
}

/// Each layer as all up to it, with its bytes.
fn chains(image: &Image) -> impl Iterator<Item = (Vec<String>, u64)> + '_ {
    let sizes = image.layer_sizes.iter().enumerate();
    sizes.map(|(index, size)| (image.layers.iter().take(index + 1).cloned().collect(), *size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(layers: &[(&str, u64)], containers: u32) -> Image {
        Image {
            layers: layers.iter().map(|(id, _)| (*id).to_owned()).collect(),
            layer_sizes: layers.iter().map(|(_, size)| *size).collect(),
            containers,
            ..Image::default()
        }
    }

    #[test]
    fn every_layer_counts_once() {
        let images = [image(&[("a", 100), ("b", 10)], 1), image(&[("a", 100), ("c", 5)], 0), image(&[("b", 10)], 0)];
        let layers = Layers::of(&images);
        assert_eq!((layers.size(), layers.idle()), (125, 15));
        let shared: Vec<u64> = images.iter().map(|image| layers.shared(image)).collect();
        assert_eq!(shared, [100, 100, 0], "the same bytes on other layers are another layer");
    }
}
