//! A matrix times one vector, as an operation of candle's.

use candle_core::{CpuStorage, CustomOp2, Error, Layout, Result, Shape};

/// matrix · input on the calling thread. candle's own products share such work among threads, and for one request
/// waking them costs several times what they do.
#[derive(Debug)]
pub(super) struct RowProduct {
    /// The vector instructions that this processor has.
    arch: pulp::Arch,
}

impl RowProduct {
    pub(super) fn new() -> Self {
        Self { arch: pulp::Arch::new() }
    }
}

impl CustomOp2 for RowProduct {
    fn name(&self) -> &'static str {
        "row-product"
    }

    /// (rows × columns, columns) → rows, all contiguous.
    fn cpu_fwd(
        &self,
        matrix: &CpuStorage,
        of: &Layout,
        input: &CpuStorage,
        at: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, columns) = of.shape().dims2()?;
        let (matrix, input) = (contiguous(matrix, of)?, contiguous(input, at)?);
        if input.len() != columns {
            return Err(Error::Msg(format!("{} inputs, not {columns}", input.len())).bt());
        }
        let out = self.arch.dispatch(Dots { matrix, input });
        Ok((CpuStorage::F32(out), Shape::from(rows)))
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

/// Sums that are kept side by side: the order of addition is the same however wide the vectors are.
const LANES: usize = 32;

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
    total(sums) + rest
}

/// The sum, by halves: one value after another would take longer than the products before it.
#[inline(always)]
fn total(mut sums: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            sums[i] += sums[i + half];
        }
        half /= 2;
    }
    sums[0]
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;

    #[test]
    fn it_is_the_product_and_refuses_what_does_not_fit() {
        let value = |i: usize| ((i * 37 % 101) as f32 - 50.0) / 50.0;
        let matrix = Tensor::from_vec((0..3 * 75).map(value).collect(), (3, 75), &Device::Cpu).unwrap();
        let input = Tensor::from_vec((0..75).map(|i| value(i + 7)).collect(), 75, &Device::Cpu).unwrap();
        let ours: Vec<f32> = matrix.apply_op2_no_bwd(&input, &RowProduct::new()).unwrap().to_vec1().unwrap();
        let theirs = matrix.matmul(&input.unsqueeze(1).unwrap()).unwrap().flatten_all().unwrap();
        for (ours, theirs) in ours.iter().zip(theirs.to_vec1::<f32>().unwrap()) {
            assert!((ours - theirs).abs() < 1e-4, "{ours} {theirs}");
        }
        let short = Tensor::zeros(74, candle_core::DType::F32, &Device::Cpu).unwrap();
        assert!(matrix.apply_op2_no_bwd(&short, &RowProduct::new()).is_err());
    }
}
