//! The network's two layers for one request, as an operation of candle's.

use candle_core::{CpuStorage, CustomOp1, Error, Layout, Result, Shape};

use super::network::Weights;

/// relu(hidden · x + hidden offset) beside x, then projection · that + offset: on the calling thread. candle's own
/// products share such work among threads, and for one request waking them costs several times what they do.
#[derive(Debug)]
pub(super) struct Layers {
    hidden: Hidden,
    /// A row an output.
    projection: Vec<f32>,
    /// One an output.
    offset: Vec<f32>,
    /// The vector instructions that this processor has.
    arch: pulp::Arch,
}

/// Units whose sums are kept side by side: as many as fit into registers.
const BLOCK: usize = 64;

/// The hidden layer as 16-bit integers with one scale a unit: weight = integer · scale. It is what a request reads most
/// of, and half as long as it was trained; what is rounded off moves φ by less than 10⁻⁴.
#[derive(Debug)]
struct Hidden {
    /// A block of units after another, in each a row an input. Units that are not there fill up the last block.
    weights: Vec<i16>,
    /// One a unit.
    scales: Vec<f32>,
    /// One a unit.
    offset: Vec<f32>,
}

impl CustomOp1 for Layers {
    fn name(&self) -> &'static str {
        "layers"
    }

    /// x → outputs, both contiguous.
    fn cpu_fwd(&self, input: &CpuStorage, at: &Layout) -> Result<(CpuStorage, Shape)> {
        let (start, end) = at.contiguous_offsets().ok_or_else(|| Error::Msg("not contiguous".into()).bt())?;
        let input = &input.as_slice::<f32>()?[start..end];
        let wide = self.hidden.beside(input, self.arch);
        if self.projection.len() != wide.len() * self.offset.len() {
            let (weights, rows) = (self.projection.len(), self.offset.len());
            return Err(Error::Msg(format!("{weights} weights, not {rows} times {} inputs", wide.len())).bt());
        }
        let mut outputs = self.arch.dispatch(Dots { matrix: &self.projection, input: &wide });
        outputs.iter_mut().zip(&self.offset).for_each(|(out, offset)| *out += offset);
        let shape = Shape::from(outputs.len());
        Ok((CpuStorage::F32(outputs), shape))
    }
}

impl Layers {
    /// Of checked weights.
    pub(super) fn new(weights: &Weights) -> Self {
        let outputs = weights.offset.len();
        let row = |output: usize| weights.projection.iter().skip(output).step_by(outputs).copied();
        Self {
            hidden: Hidden::new(&weights.hidden, &weights.hidden_offset),
            projection: (0..outputs).flat_map(row).collect(),
            offset: weights.offset.clone(),
            arch: pulp::Arch::new(),
        }
    }
}

impl Hidden {
    /// `weights`: a row an input of a value a unit.
    fn new(weights: &[f32], offset: &[f32]) -> Self {
        let units = offset.len();
        let column = |unit: usize| weights.iter().skip(unit).step_by(units);
        let greatest = |unit| column(unit).fold(0.0, |greatest: f32, weight| greatest.max(weight.abs()));
        let scales: Vec<f32> = (0..units).map(|unit| greatest(unit) / f32::from(i16::MAX)).collect();
        let mut blocks = Vec::with_capacity(weights.len().next_multiple_of(BLOCK));
        for first in (0..units).step_by(BLOCK) {
            for row in weights.chunks_exact(units) {
                // A unit of which all weights are 0 has a scale of 0; what is no number becomes 0.
                let rounded = row[first..].iter().zip(&scales[first..]).map(|(weight, scale)| (weight / scale).round());
                let filled = rounded.map(|weight| weight as i16).chain(std::iter::repeat(0));
                blocks.extend(filled.take(BLOCK));
            }
        }
        Self { weights: blocks, scales, offset: offset.to_vec() }
    }

    /// The input, and behind it what the units make of it.
    fn beside(&self, input: &[f32], arch: pulp::Arch) -> Vec<f32> {
        let sums = arch.dispatch(Sums { blocks: &self.weights, input });
        let units = sums.iter().zip(&self.scales).zip(&self.offset);
        let units = units.map(|((sum, scale), offset)| (sum * scale + offset).max(0.0));
        let mut beside = Vec::with_capacity(input.len() + self.offset.len());
        beside.extend_from_slice(input);
        beside.extend(units);
        beside
    }
}

/// The units' sums, each added up by itself in the inputs' order; compiled for each kind of vector instructions, which
/// change no bit: hence all of it inline.
struct Sums<'a> {
    blocks: &'a [i16],
    input: &'a [f32],
}

impl pulp::NullaryFnOnce for Sums<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn call(self) -> Vec<f32> {
        let blocks = self.blocks.chunks_exact(BLOCK * self.input.len());
        let mut out = vec![0.0; BLOCK * blocks.len()];
        // Loops, not an iterator's closures: those would be compiled by themselves, for the narrowest vectors.
        for (out, block) in out.as_chunks_mut().0.iter_mut().zip(blocks) {
            *out = sums(block, self.input);
        }
        out
    }
}

#[inline(always)]
fn sums(block: &[i16], input: &[f32]) -> [f32; BLOCK] {
    let mut sums = [0.0; BLOCK];
    for (x, row) in input.iter().zip(block.as_chunks::<BLOCK>().0) {
        sums.iter_mut().zip(row).for_each(|(sum, weight)| *sum += x * f32::from(*weight));
    }
    sums
}

/// One dot product a row, compiled for each kind of vector instructions: hence all of it inline.
struct Dots<'a> {
    matrix: &'a [f32],
    input: &'a [f32],
}

impl pulp::NullaryFnOnce for Dots<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn call(self) -> Vec<f32> {
        let rows = self.matrix.chunks_exact(self.input.len());
        let mut out = vec![0.0; rows.len()];
        // A loop, as above.
        for (out, row) in out.iter_mut().zip(rows) {
            *out = dot(row, self.input);
        }
        out
    }
}

/// Sums that are kept side by side: the order of addition is the same however wide the vectors are. As many as fit into
/// one vector: adding up more at each row's end takes longer than the products before it.
const LANES: usize = 8;

#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a, rest_a), (b, rest_b)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for i in 0..LANES {
            sums[i] += a[i] * b[i];
        }
    }
    let rest: f32 = rest_a.iter().zip(rest_b).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;

    fn values(n: usize, seed: usize) -> Vec<f32> {
        (0..n).map(|i| (((i + seed) * 37 % 101) as f32 - 50.0) / 50.0).collect()
    }

    fn weights(width: usize, units: usize) -> Weights {
        let none = Vec::new;
        Weights {
            mean: none(),
            deviation: none(),
            hidden: values(width * units, 0),
            hidden_offset: vec![0.25; units],
            projection: values((width + units) * 3, 5),
            offset: vec![-0.5; 3],
            ease: none(),
            quantiles: none(),
        }
    }

    fn tensor(values: &[f32], shape: (usize, usize)) -> Tensor {
        Tensor::from_slice(values, shape, &Device::Cpu).unwrap()
    }

    #[test]
    fn it_is_what_candle_makes_of_the_layers_and_refuses_what_does_not_fit() {
        // Units that fill no block, one, and one and a part of another.
        for units in [20, BLOCK, BLOCK + 3] {
            let (weights, input) = (weights(75, units), tensor(&values(75, 7), (1, 75)));
            let hidden = input.matmul(&tensor(&weights.hidden, (75, units))).unwrap();
            let wide = Tensor::cat(&[&input, &(hidden + 0.25).unwrap().relu().unwrap()], 1).unwrap();
            let projection = tensor(&weights.projection, (75 + units, 3));
            let theirs = (wide.matmul(&projection).unwrap() - 0.5).unwrap().flatten_all().unwrap();
            let layers = Layers::new(&weights);
            let ours: Vec<f32> = input.apply_op1_no_bwd(&layers).unwrap().to_vec1().unwrap();
            for (ours, theirs) in ours.iter().zip(theirs.to_vec1::<f32>().unwrap()) {
                assert!((ours - theirs).abs() < 2e-3, "{ours} {theirs}");
            }
            assert!(tensor(&values(74, 7), (1, 74)).apply_op1_no_bwd(&layers).is_err());
        }
    }

    #[test]
    fn a_unit_without_weights_is_its_offset() {
        let hidden = Hidden::new(&[0.0, 1.0, 0.0, -1.0], &[0.5, 0.25]);
        assert_eq!(hidden.beside(&[2.0, 1.0], pulp::Arch::new()), [2.0, 1.0, 0.5, 1.25]);
    }
}
