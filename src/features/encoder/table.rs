//! The static encoder: one small vector per token, pooled. No forward pass, just a look-up and a mean.

use std::borrow::Cow;

use safetensors::{Dtype, SafeTensors};

use super::super::signals::FIRST_WORD;
use super::ends;

/// Values of a token's vector.
pub const DIM: usize = 128;
/// Values of a vector that are pooled at once: as many sums as fit into registers.
const BLOCK: usize = 64;
/// Tokens pooled at most: this many at the start of the window and as many at its end.
const HALF_WINDOW: usize = 256;
/// Up to this many tokens, none is left out.
pub const POOLED: usize = 2 * HALF_WINDOW;

/// Token vectors as 8-bit integers with one scale per row: vector = row · scale.
#[derive(Debug)]
pub struct TokenTable {
    /// The safetensors file, as it lies in the binary or was read.
    file: Cow<'static, [u8]>,
    /// Where the rows begin in `file`.
    rows: usize,
    /// Weight of each token in the mean.
    weights: Vec<f32>,
    /// The same times the row's scale.
    factors: Vec<f32>,
    /// The vector instructions that this processor has.
    arch: pulp::Arch,
}

/// The bytes are not an encoder table.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    #[error("is not a safetensors file, or is cut off ({0})")]
    Format(#[from] safetensors::SafeTensorError),
    #[error("tensor {name} must be {expected}, not {found}")]
    Shape { name: &'static str, expected: String, found: String },
    #[error("the scale of token {0} is not a finite number")]
    NotFinite(usize),
}

impl TokenTable {
    /// Reads a table of `tokens` rows: `q`, I8 [tokens, 128], and `scale`, F32 [tokens].
    ///
    /// # Errors
    /// Says which tensor does not fit.
    pub fn parse(file: impl Into<Cow<'static, [u8]>>, tokens: usize) -> Result<Self, TableError> {
        let file = file.into();
        let tensors = SafeTensors::deserialize(&file)?;
        let q = tensor(&tensors, "q", Dtype::I8, &[tokens, DIM])?;
        let rows = q.as_ptr() as usize - file.as_ptr() as usize;
        let scales = floats(tensor(&tensors, "scale", Dtype::F32, &[tokens])?);
        if let Some(token) = scales.iter().position(|scale| !scale.is_finite()) {
            return Err(TableError::NotFinite(token));
        }
        let weights: Vec<f32> = (0..tokens as u32).map(weight).collect();
        let factors = scales.iter().zip(&weights).map(|(scale, weight)| scale * weight).collect();
        Ok(Self { file, rows, weights, factors, arch: pulp::Arch::new() })
    }

    /// Weighted mean of the vectors of `ids`, without the middle if they are many. All zero if there is nothing to
    /// pool.
    pub fn pool(&self, ids: &[u32]) -> [f32; DIM] {
        // Wider vector instructions where the processor has them. They change no bit: each value is summed separately.
        self.arch.dispatch(Pooling { table: self, ids: ends(ids, HALF_WINDOW) })
    }
}

/// One text's pooling, compiled for each kind of vector instructions: hence everything inline.
struct Pooling<'a> {
    table: &'a TokenTable,
    ids: (&'a [u32], &'a [u32]),
}

impl pulp::NullaryFnOnce for Pooling<'_> {
    type Output = [f32; DIM];

    #[inline(always)]
    fn call(self) -> [f32; DIM] {
        let total: f32 = self.ids().map(|id| self.table.weights[id]).sum();
        let mut pooled = [0.0; DIM];
        if total > 0.0 {
            for (block, mean) in pooled.as_chunks_mut().0.iter_mut().enumerate() {
                *mean = self.block(block);
                mean.iter_mut().for_each(|sum| *sum /= total);
            }
        }
        pooled
    }
}

impl Pooling<'_> {
    #[inline(always)]
    fn ids(&self) -> impl Iterator<Item = usize> {
        self.ids.0.iter().chain(self.ids.1).map(|&id| id as usize)
    }

    /// Weighted sums of one block of the vectors' values.
    #[inline(always)]
    fn block(&self, block: usize) -> [f32; BLOCK] {
        let TokenTable { file, rows, factors, .. } = self.table;
        let rows = file[*rows..].as_chunks::<BLOCK>().0;
        let mut sums = [0.0; BLOCK];
        for id in self.ids() {
            let (row, factor) = (&rows[id * (DIM / BLOCK) + block], factors[id]);
            sums.iter_mut().zip(row).for_each(|(sum, q)| *sum += factor * f32::from(q.cast_signed()));
        }
        sums
    }
}

/// Smooth inverse frequency (Arora et al., 2017), a / (a + p) with a = 10⁻³; p by Zipf's law from the token's rank.
fn weight(id: u32) -> f32 {
    const A: f64 = 1e-3;
    const FIRST_CHARACTER: u32 = 999;
    let p = match id {
        ..FIRST_CHARACTER => return 0.0,
        FIRST_CHARACTER..FIRST_WORD => 1e-3,
        FIRST_WORD.. => 1.0 / (9.0 * f64::from(id - FIRST_WORD + 10)),
    };
    (A / (A + p)) as f32
}

fn tensor<'a>(
    tensors: &SafeTensors<'a>,
    name: &'static str,
    dtype: Dtype,
    shape: &[usize],
) -> Result<&'a [u8], TableError> {
    let tensor = tensors.tensor(name)?;
    if tensor.dtype() != dtype || tensor.shape() != shape {
        let expected = format!("{dtype:?} {shape:?}");
        let found = format!("{:?} {:?}", tensor.dtype(), tensor.shape());
        return Err(TableError::Shape { name, expected, found });
    }
    Ok(tensor.data())
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKENS: usize = 2100;

    fn table(rows: &[(usize, i8, f32)]) -> Vec<u8> {
        let (mut q, mut scale) = (vec![0u8; TOKENS * DIM], vec![0f32; TOKENS]);
        for &(token, value, row_scale) in rows {
            q[token * DIM..][..DIM].fill(value.cast_unsigned());
            scale[token] = row_scale;
        }
        let scale: Vec<u8> = scale.iter().flat_map(|s| s.to_le_bytes()).collect();
        let view = |dtype, shape, data| safetensors::tensor::TensorView::new(dtype, shape, data).expect("consistent");
        let tensors =
            [("q", view(Dtype::I8, vec![TOKENS, DIM], &q)), ("scale", view(Dtype::F32, vec![TOKENS], &scale))];
        safetensors::serialize(tensors, None).expect("serialises")
    }

    #[test]
    fn rarer_tokens_weigh_more_in_the_mean_and_special_ones_nothing() {
        let table = TokenTable::parse(table(&[(5, 100, 1.0), (1996, 2, 1.0), (2090, -4, 0.5)]), TOKENS).expect("fits");
        let pooled = table.pool(&[5, 1996, 2090]);
        // Of equal weight they would have the mean 0.
        assert!(pooled[0] < -1.0 && pooled[0] > -2.0, "{}", pooled[0]);
    }

    #[test]
    fn the_middle_of_many_tokens_is_left_out() {
        let table = TokenTable::parse(table(&[(1996, 1, 1.0), (1997, 9, 1.0)]), TOKENS).expect("fits");
        let mut ids = vec![1996; 2 * HALF_WINDOW];
        let short = table.pool(&ids);
        ids.splice(HALF_WINDOW..HALF_WINDOW, [1997; 1000]);
        assert_eq!(table.pool(&ids), short);
    }

    #[test]
    fn nothing_to_pool_is_all_zero() {
        let table = TokenTable::parse(table(&[]), TOKENS).expect("fits");
        assert_eq!(table.pool(&[]), [0.0; DIM]);
        assert_eq!(table.pool(&[3]), [0.0; DIM]);
    }

    #[test]
    fn a_broken_table_says_what_is_wrong() {
        let whole = table(&[(7, 1, f32::NAN)]);
        let problem = |file: Vec<u8>, tokens| TokenTable::parse(file, tokens).expect_err("broken").to_string();
        assert!(problem(whole[..whole.len() - 1].to_vec(), TOKENS).contains("cut off"));
        assert!(problem(whole.clone(), TOKENS - 1).contains("tensor q must be I8 [2099, 128], not I8 [2100, 128]"));
        assert!(problem(whole, TOKENS).contains("token 7"));
    }
}
