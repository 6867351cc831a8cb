//! How much arithmetic the denoiser is, counted by its sizes.

use super::{UNet2DConditionConfig, UpDownBlock};

/// Floating-point operations for one input; a multiplication and an addition are two.
///
/// Only products of matrices are counted, as is usual: convolutions, linear layers, attention.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Operations {
    /// From latents to the prediction.
    pub forward: f64,
    /// From the prediction's gradient to that of the text's hidden states, no weight's.
    pub backward: f64,
}

impl UNet2DConditionConfig {
    /// Counts for latents of `height` x `width` and a text of `length` tokens.
    pub fn operations(&self, [height, width]: [usize; 2], length: usize) -> Operations {
        let mut count = Count {
            config: self,
            length,
            sizes: vec![[height, width]],
            tracked: false,
            operations: Operations::default(),
        };
        let channels = &self.block_out_channels;
        let last = channels.len() - 1;
        for _ in 0..last {
            let [height, width] = count.sizes[count.sizes.len() - 1];
            count.sizes.push([height.div_ceil(2), width.div_ceil(2)]);
        }
        let time = self.time_embed_dim();
        count.product(1, channels[0], time);
        count.product(1, time, time);
        if let Some(widths) = self.added_widths() {
            count.add(1, widths.total(), time, 1.0);
            count.add(1, time, time, 1.0);
        }
        count.product(count.pixels(0), 9 * self.in_channels, channels[0]);
        let mut skips = vec![channels[0]];
        let mut x = channels[0];
        for (level, &wide) in channels.iter().enumerate() {
            for _ in 0..self.layers_per_block {
                count.layer(x, wide, level, self.down_block_types[level]);
                x = wide;
                skips.push(x);
            }
            if level < last {
                count.product(count.pixels(level + 1), 9 * x, x);
                skips.push(x);
            }
        }
        count.layer(x, x, last, UpDownBlock::CrossAttention);
        count.resnet(x, x, last);
        for (position, &kind) in self.up_block_types.iter().enumerate() {
            let level = last - position;
            for _ in 0..=self.layers_per_block {
                let skip = skips.pop().unwrap_or_default();
                count.layer(x + skip, channels[level], level, kind);
                x = channels[level];
            }
            if level > 0 {
                count.product(count.pixels(level - 1), 9 * x, x);
            }
        }
        count.product(count.pixels(0), 9 * x, self.out_channels);
        count.operations
    }
}

struct Count<'a> {
    config: &'a UNet2DConditionConfig,
    length: usize,
    /// Height and width of each level.
    sizes: Vec<[usize; 2]>,
    /// Whether the picture depends on the text yet.
    tracked: bool,
    operations: Operations,
}

impl Count<'_> {
    fn pixels(&self, level: usize) -> usize {
        self.sizes[level][0] * self.sizes[level][1]
    }

    /// A product whose second matrix is a weight.
    fn product(&mut self, rows: usize, inner: usize, columns: usize) {
        let tracked = f64::from(self.tracked);
        self.add(rows, inner, columns, tracked);
    }

    /// The backward pass has as many products of this size as inputs that depend on the text.
    fn add(&mut self, rows: usize, inner: usize, columns: usize, tracked: f64) {
        let operations = 2.0 * rows as f64 * inner as f64 * columns as f64;
        self.operations.forward += operations;
        self.operations.backward += tracked * operations;
    }

    /// A resnet, and the transformer after it where there is one.
    fn layer(&mut self, from: usize, to: usize, level: usize, kind: UpDownBlock) {
        self.resnet(from, to, level);
        if kind == UpDownBlock::CrossAttention {
            self.transformer(to, level);
        }
    }

    fn resnet(&mut self, from: usize, to: usize, level: usize) {
        let pixels = self.pixels(level);
        self.product(pixels, 9 * from, to);
        if from != to {
            self.product(pixels, from, to);
        }
        let told_with_the_time = self.config.added_widths().is_some();
        self.add(1, self.config.time_embed_dim(), to, f64::from(told_with_the_time));
        self.tracked |= told_with_the_time;
        self.product(pixels, 9 * to, to);
    }

    fn transformer(&mut self, width: usize, level: usize) {
        let (pixels, length) = (self.pixels(level), self.length);
        let context = self.config.cross_attention_dim;
        self.product(pixels, width, width); // in
        for _ in 0..self.config.transformer_layers(level) {
            let before = f64::from(self.tracked);
            self.product(pixels, width, 4 * width); // query, key, value and out of attn1
            self.add(pixels, width, pixels, 2.0 * before);
            self.add(pixels, pixels, width, 2.0 * before);
            self.product(pixels, width, width);
            self.add(length, context, 2 * width, 1.0);
            self.add(pixels, width, length, 1.0 + before);
            self.add(pixels, length, width, 2.0);
            self.tracked = true;
            self.product(pixels, width, width); // attn2's out
            self.product(pixels, width, 8 * width);
            self.product(pixels, 4 * width, width);
        }
        self.product(pixels, width, width); // out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stable_diffusion_at_512_pixels_takes_what_is_known() {
        let config = UNet2DConditionConfig::parse(br#"{"cross_attention_dim": 768}"#, "").unwrap();
        let found = config.operations([64, 64], 77);
        assert!((found.forward / 803e9 - 1.0).abs() < 0.01, "{found:?}");
        assert!((found.backward / 866e9 - 1.0).abs() < 0.01, "{found:?}");
    }

    #[test]
    fn a_small_network_takes_what_is_counted_by_hand() {
        let config = br#"{
            "block_out_channels": [2], "layers_per_block": 1, "norm_num_groups": 1,
            "attention_head_dim": 1, "down_block_types": ["CrossAttnDownBlock2D"],
            "up_block_types": ["UpBlock2D"], "in_channels": 1, "out_channels": 1,
            "cross_attention_dim": 3
        }"#;
        let config = UNet2DConditionConfig::parse(config, "").unwrap();
        // one pixel, one token: multiplications of each part
        let time = 2 * 8 + 8 * 8;
        let resnet =
            |from: usize| 9 * from * 2 + 8 * 2 + 9 * 2 * 2 + if from == 2 { 0 } else { from * 2 };
        let transformer = 6 * 4 + 2 * 2 + (2 * 3 * 2) + 2 * 2 + 2 * 4 + 8 * 4 + 4 * 4;
        let (ends, up) = (9 * 2 + 9 * 2, resnet(4) + resnet(4));
        let forward = time + ends + 3 * resnet(2) + 2 * transformer + up;
        let found = config.operations([1, 1], 1);
        assert_eq!(found.forward, 2.0 * forward as f64);
        // from the text on: the first transformer from its keys and values on, then all, less what
        // projects the time
        let first = 2 * 3 * 2 + 2 + 2 * 2 + 2 * 4 + 8 * 4 + 4 * 4;
        let second = transformer + 2 * 2 + 2 * 2;
        let resnets = 2 * (resnet(2) - 16) + 2 * (resnet(4) - 16);
        assert_eq!(found.backward, 2.0 * (first + second + resnets + 9 * 2) as f64);
    }
}
