//! The network's two layers for one request, as an operation of candle's.

use candle_core::{CpuStorage, CustomOp3, Error, Layout, Result, Shape};

/// relu(hidden · x + hidden offset) beside x, then projection · that + offset: on the calling thread. candle's own
/// products share such work among threads, and for one request waking them costs several times what they do.
#[derive(Debug)]
pub(super) struct Layers {
    /// One a hidden unit.
    pub(super) hidden_offset: Vec<f32>,
    /// One an output.
    pub(super) offset: Vec<f32>,
    /// The vector instructions that this processor has.
    pub(super) arch: pulp::Arch,
}

impl CustomOp3 for Layers {
    fn name(&self) -> &'static str {
        "layers"
    }

    /// (x, units × x, outputs × (x + units)) → outputs, all contiguous.
    fn cpu_fwd(
        &self,
        input: &CpuStorage,
        at: &Layout,
        hidden: &CpuStorage,
        of_hidden: &Layout,
        projection: &CpuStorage,
        of_projection: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let mut inputs = contiguous(input, at)?.to_vec();
        let units = self.affine(contiguous(hidden, of_hidden)?, &inputs, &self.hidden_offset)?;
        inputs.extend(units.into_iter().map(|unit| unit.max(0.0)));
        let outputs = self.affine(contiguous(projection, of_projection)?, &inputs, &self.offset)?;
        let shape = Shape::from(outputs.len());
        Ok((CpuStorage::F32(outputs), shape))
    }
}

impl Layers {
    /// matrix · input + offset.
    fn affine(&self, matrix: &[f32], input: &[f32], offset: &[f32]) -> Result<Vec<f32>> {
        if matrix.len() != input.len() * offset.len() {
            let (values, rows) = (matrix.len(), offset.len());
            return Err(Error::Msg(format!("{values} weights, not {rows} times {} inputs", input.len())).bt());
        }
        let mut outputs = self.arch.dispatch(Dots { matrix, input });
        outputs.iter_mut().zip(offset).for_each(|(out, offset)| *out += offset);
        Ok(outputs)
    }
}

fn contiguous<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let (start, end) = layout.contiguous_offsets().ok_or_else(|| Error::Msg("not contiguous".into()).bt())?;
    Ok(&storage.as_slice::<f32>()?[start..end])
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
        // A loop, not an iterator's closure: that would be compiled by itself, for the narrowest vectors.
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

    fn tensor(shape: (usize, usize), seed: usize) -> Tensor {
        let value = |i: usize| (((i + seed) * 37 % 101) as f32 - 50.0) / 50.0;
        Tensor::from_vec((0..shape.0 * shape.1).map(value).collect(), shape, &Device::Cpu).unwrap()
    }

    #[test]
    fn it_is_what_candle_makes_of_the_layers_and_refuses_what_does_not_fit() {
        let (input, hidden, projection) = (tensor((75, 1), 7), tensor((20, 75), 0), tensor((3, 95), 5));
        let (hidden_offset, offset) = (vec![0.25; 20], vec![-0.5; 3]);
        let column = |values: &[f32]| Tensor::from_slice(values, (values.len(), 1), &Device::Cpu).unwrap();
        let units = hidden.matmul(&input).unwrap().add(&column(&hidden_offset)).unwrap().relu().unwrap();
        let wide = Tensor::cat(&[&input, &units], 0).unwrap();
        let theirs = projection.matmul(&wide).unwrap().add(&column(&offset)).unwrap().flatten_all().unwrap();
        let layers = Layers { hidden_offset, offset, arch: pulp::Arch::new() };
        let ours: Vec<f32> = input.apply_op3_no_bwd(&hidden, &projection, &layers).unwrap().to_vec1().unwrap();
        for (ours, theirs) in ours.iter().zip(theirs.to_vec1::<f32>().unwrap()) {
            assert!((ours - theirs).abs() < 1e-4, "{ours} {theirs}");
        }
        assert!(tensor((74, 1), 0).apply_op3_no_bwd(&hidden, &projection, &layers).is_err());
    }
}
