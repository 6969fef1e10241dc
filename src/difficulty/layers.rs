//! The network's two layers for one request, as an operation of candle's.

use candle_core::{CpuStorage, CustomOp1, Error, Layout, Result, Shape};

use super::network::{INPUT_LIMIT, Weights};

/// relu(hidden · x + hidden offset) beside x, then projection · that + offset: on the calling thread. candle's own
/// products share such work among threads, and for one request waking them costs several times what they do.
#[derive(Debug)]
pub(super) struct Layers {
    hidden: Hidden,
    /// A row an output.
    projection: Vec<f32>,
    /// One per output.
    offset: Vec<f32>,
    /// The vector instructions that this processor has.
    arch: pulp::Arch,
}

/// Units whose sums are kept side by side: as many as fit into registers.
const BLOCK: usize = 64;
/// What an input of 1 is as an integer. A unit's sum must not leave 32 bits: more here would be less for the weights, and
/// so both are rounded off alike.
const INPUT_SCALE: f32 = 1600.0;
/// The greatest input as an integer.
const INPUT_MOST: f32 = INPUT_SCALE * INPUT_LIMIT;

/// Added and taken off again, it leaves the nearest integer, the even one of two: floats from 2²³ on have no fraction.
/// Processors before SSE 4.1 have no instruction that rounds so.
const TO_INTEGER: f32 = 12_582_912.0;

/// The hidden layer in integers with one scale per unit: weight = integer · scale. Integers are multiplied and added up
/// two at a time, and their sums are exact: in whatever order, on whatever processor. What is rounded off moves φ by less
/// than 10⁻³.
#[derive(Debug)]
struct Hidden {
    /// A block of units after another, in each a row per pair of inputs, of a pair per unit. Units and inputs that are
    /// not there fill up the last ones.
    weights: Vec<[i16; 2]>,
    /// One per unit: what 1 in its sum comes to.
    scales: Vec<f32>,
    /// One per unit.
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
        let steps: Vec<f32> = (0..units).map(|unit| step(weights.iter().skip(unit).step_by(units))).collect();
        let rows: Vec<&[f32]> = weights.chunks_exact(units).collect();
        // A unit of which all weights are 0 has a step of 0; what is no number becomes 0.
        let integer = |input: usize, unit: usize| {
            let weight = rows.get(input).and_then(|row| row.get(unit));
            weight.map_or(0, |weight| (weight / steps[unit]).round() as i16)
        };
        let mut pairs = Vec::with_capacity(rows.len().div_ceil(2) * units.next_multiple_of(BLOCK));
        for first in (0..units).step_by(BLOCK) {
            for input in (0..rows.len()).step_by(2) {
                pairs.extend((first..first + BLOCK).map(|unit| [integer(input, unit), integer(input + 1, unit)]));
            }
        }
        let scales = steps.iter().map(|step| step / INPUT_SCALE).collect();
        Self { weights: pairs, scales, offset: offset.to_vec() }
    }

    /// The input, and behind it what the units make of it.
    fn beside(&self, input: &[f32], arch: pulp::Arch) -> Vec<f32> {
        let integer = |x: &f32| ((x * INPUT_SCALE).clamp(-INPUT_MOST, INPUT_MOST) + TO_INTEGER - TO_INTEGER) as i16;
        let pair = |pair: &[f32]| [integer(&pair[0]), pair.get(1).map_or(0, integer)];
        let pairs: Vec<[i16; 2]> = input.chunks(2).map(pair).collect();
        let sums = sums(&self.weights, &pairs, arch);
        let units = sums.iter().zip(&self.scales).zip(&self.offset);
        let units = units.map(|((sum, scale), offset)| (*sum as f32 * scale + offset).max(0.0));
        let mut beside = Vec::with_capacity(input.len() + self.offset.len());
        beside.extend_from_slice(input);
        beside.extend(units);
        beside
    }
}

/// The least step of a unit's weights that keeps them, and their sum over any inputs, within the integers.
fn step<'a>(weights: impl Iterator<Item = &'a f32>) -> f32 {
    let (sum, greatest) = weights.fold((0.0, 0.0), |(sum, greatest): (f64, f64), &weight| {
        let weight = f64::from(weight.abs());
        (sum + weight, greatest.max(weight))
    });
    // Each weight may be rounded up by a half: the bound leaves a twentieth for them.
    let most = 0.95 * f64::from(i32::MAX) / f64::from(INPUT_MOST);
    (sum / most).max(greatest / f64::from(i16::MAX)) as f32
}

/// Each unit's sum, in blocks of [`BLOCK`].
fn sums(weights: &[[i16; 2]], input: &[[i16; 2]], arch: pulp::Arch) -> Vec<i32> {
    match arch {
        #[cfg(target_arch = "x86_64")]
        pulp::Arch::V3(with) => arch.dispatch(Sums { weights, input, with }),
        _ => arch.dispatch(Sums { weights, input, with: Plain }),
    }
}

/// The units' sums, compiled for each kind of vector instructions, which change no bit: hence all of it inline.
struct Sums<'a, W> {
    weights: &'a [[i16; 2]],
    input: &'a [[i16; 2]],
    with: W,
}

/// The sums of as many units as fit into one vector.
type Lanes = [i32; 8];

/// How products are added up.
trait Products: Copy {
    /// Adds x·w, of pairs, to each sum.
    fn add(self, sums: Lanes, x: [i16; 2], w: &[[i16; 2]; 8]) -> Lanes;
}

/// As the compiler has it.
#[derive(Clone, Copy)]
struct Plain;

impl Products for Plain {
    #[inline(always)]
    fn add(self, mut sums: Lanes, x: [i16; 2], w: &[[i16; 2]; 8]) -> Lanes {
        let [x0, x1] = x.map(i32::from);
        sums.iter_mut().zip(w).for_each(|(sum, w)| *sum += x0 * i32::from(w[0]) + x1 * i32::from(w[1]));
        sums
    }
}

/// By the instruction that is made for it, which the compiler does not find: three times as fast as floats.
#[cfg(target_arch = "x86_64")]
impl Products for pulp::x86::V3 {
    #[inline(always)]
    fn add(self, sums: Lanes, x: [i16; 2], w: &[[i16; 2]; 8]) -> Lanes {
        let products = self.avx2._mm256_madd_epi16(pulp::cast([x; 8]), pulp::cast(*w));
        pulp::cast(self.avx2._mm256_add_epi32(pulp::cast(sums), products))
    }
}

impl<W: Products> pulp::NullaryFnOnce for Sums<'_, W> {
    type Output = Vec<i32>;

    #[inline(always)]
    fn call(self) -> Vec<i32> {
        let blocks = self.weights.chunks_exact(BLOCK * self.input.len());
        let mut out = vec![0; BLOCK * blocks.len()];
        // Loops, not an iterator's closures: those would be compiled by themselves, for the narrowest vectors.
        for (out, block) in out.as_chunks_mut::<BLOCK>().0.iter_mut().zip(blocks) {
            let mut sums: [Lanes; BLOCK / 8] = [[0; 8]; BLOCK / 8];
            for (x, row) in self.input.iter().zip(block.as_chunks::<BLOCK>().0) {
                for (sums, w) in sums.iter_mut().zip(row.as_chunks::<8>().0) {
                    *sums = self.with.add(*sums, *x, w);
                }
            }
            out.copy_from_slice(sums.as_flattened());
        }
        out
    }
}

/// One dot product per row, compiled for each kind of vector instructions: hence all of it inline.
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
        let beside = hidden.beside(&[2.0, 1.0], pulp::Arch::new());
        assert_eq!(beside[..3], [2.0, 1.0, 0.5]);
        assert!((beside[3] - 1.25).abs() < 1e-4, "{beside:?}");
    }

    #[test]
    fn sums_are_the_same_with_and_without_vectors_and_stay_within_their_integers() {
        let (inputs, units) = (201, BLOCK);
        for weight in [f32::MIN_POSITIVE, 1.0, 1e30] {
            let hidden = Hidden::new(&vec![weight; inputs * units], &vec![0.0; units]);
            let most: Vec<[i16; 2]> = vec![[INPUT_MOST as i16; 2]; inputs.div_ceil(2)];
            let plain = pulp::Arch::Scalar.dispatch(Sums { weights: &hidden.weights, input: &most, with: Plain });
            assert_eq!(sums(&hidden.weights, &most, pulp::Arch::new()), plain);
            let exact: i64 = hidden.weights.iter().step_by(BLOCK).flatten().map(|w| i64::from(*w)).sum();
            assert_eq!(i64::from(plain[0]), exact * i64::from(INPUT_MOST as i16));
        }
    }
}
