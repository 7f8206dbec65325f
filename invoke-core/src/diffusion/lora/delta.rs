//! What one layer of a patch adds to a weight.

use std::collections::HashMap;

use candle_core::{Result as Computed, Tensor};

use super::keys::Field;

/// One layer of a patch. All tensors are f32 on the CPU.
#[derive(Debug)]
pub(super) struct Delta {
    kind: Option<Kind>,
    bias: Option<Tensor>,
    /// `alpha / rank`, or 1 where either is unknown.
    scale: f64,
}

#[derive(Debug)]
enum Kind {
    /// `up · down`, with a small kernel between for convolutions; DoRA's magnitude.
    LowRank {
        up: Tensor,
        down: Tensor,
        mid: Option<Tensor>,
        magnitude: Option<Magnitude>,
    },
    /// Product of two low-rank matrices, element by element.
    Hadamard { first: Factors, second: Factors },
    /// Kronecker product.
    Kronecker { first: Tensor, second: Tensor },
    /// The difference itself.
    Full(Tensor),
    /// The weight times a factor for each input or output.
    Factor { factor: Tensor, on_input: bool },
}

#[derive(Debug)]
struct Magnitude {
    values: Tensor,
    of_outputs: bool,
}

/// `a · b`, or with a kernel `t`: `sum over i, j of t[i, j, …] a[i, p] b[j, r]`.
#[derive(Debug)]
struct Factors {
    a: Tensor,
    b: Tensor,
    kernel: Option<Tensor>,
}

impl Delta {
    /// Sorts a layer's fields. Errors say which is missing. What factors are multiplied out to is taken from `room`, in numbers.
    pub(super) fn new(mut fields: HashMap<Field, Tensor>, room: &mut usize) -> Result<Self, String> {
        let alpha = match fields.remove(&Field::Alpha) {
            Some(alpha) => Some(f64::from(
                alpha
                    .flatten_all()
                    .and_then(|a| a.get(0)?.to_scalar::<f32>())
                    .map_err(|e| e.to_string())?,
            )),
            None => None,
        };
        let bias = fields.remove(&Field::FullBias);
        let output = fields
            .remove(&Field::OutputMagnitude)
            .map(|values| Magnitude { values, of_outputs: true });
        let magnitude = output.or_else(|| {
            fields
                .remove(&Field::InputMagnitude)
                .map(|values| Magnitude { values, of_outputs: false })
        });
        let mut need = |field: Field| fields.remove(&field).ok_or_else(|| format!("its {field:?} tensor is missing"));
        let first_axis = |t: &Tensor| t.dims().first().copied().filter(|n| *n > 0);
        let (kind, rank) = if let Ok(up) = need(Field::Up) {
            let down = need(Field::Down)?;
            let rank = first_axis(&down);
            (
                Some(Kind::LowRank {
                    up,
                    down,
                    mid: need(Field::Mid).ok(),
                    magnitude,
                }),
                rank,
            )
        } else if let Ok(a) = need(Field::Hada1A) {
            let b = need(Field::Hada1B)?;
            let rank = first_axis(&b);
            let first = Factors {
                a,
                b,
                kernel: need(Field::HadaT1).ok(),
            };
            let second = Factors {
                a: need(Field::Hada2A)?,
                b: need(Field::Hada2B)?,
                kernel: need(Field::HadaT2).ok(),
            };
            (Some(Kind::Hadamard { first, second }), rank)
        } else if let Some((first, rank1)) = whole_or_factors(&mut need, room, Field::Kron1, [Field::Kron1A, Field::Kron1B], None)? {
            let second = whole_or_factors(&mut need, room, Field::Kron2, [Field::Kron2A, Field::Kron2B], Some(Field::KronT2))?;
            let (second, rank2) = second.ok_or("its Kron2 tensor is missing")?;
            (Some(Kind::Kronecker { first, second }), rank1.or(rank2))
        } else if let Ok(difference) = need(Field::Full) {
            (Some(Kind::Full(difference)), None)
        } else if let Ok(factor) = need(Field::Factor) {
            let on_input = need(Field::OnInput).and_then(|t| {
                t.flatten_all()
                    .and_then(|t| t.get(0)?.to_scalar::<f32>())
                    .map_err(|e| e.to_string())
            })?;
            (
                Some(Kind::Factor {
                    factor,
                    on_input: on_input != 0.0,
                }),
                None,
            )
        } else if bias.is_some() {
            (None, None)
        } else {
            return Err("it is of no known kind".into());
        };
        let scale = match (alpha, rank) {
            (Some(alpha), Some(rank)) => alpha / rank as f64,
            _ => 1.0,
        };
        Ok(Self { kind, bias, scale })
    }

    /// What is added to `weight` (f32) at strength 1, in its shape; `None` if the layer is made for another shape.
    pub(super) fn of_weight(&self, weight: &Tensor) -> Computed<Option<Tensor>> {
        let Some(kind) = &self.kind else { return Ok(None) };
        let wanted = weight.elem_count();
        let delta = match kind {
            Kind::LowRank { up, down, mid, magnitude } => {
                let Some(product) = low_rank(up, down, mid.as_ref(), wanted)? else {
                    return Ok(None);
                };
                match magnitude {
                    Some(magnitude) => return magnitude.apply(weight, &(product.reshape(weight.shape())? * self.scale)?),
                    None => product,
                }
            }
            Kind::Hadamard { first, second } => match (first.product(wanted)?, second.product(wanted)?) {
                (Some(first), Some(second)) if first.dims() == second.dims() => (first * second)?,
                _ => return Ok(None),
            },
            Kind::Kronecker { first, second } => match kronecker(first, second, wanted)? {
                Some(product) => product,
                None => return Ok(None),
            },
            Kind::Full(difference) => difference.clone(),
            Kind::Factor { factor, on_input } => {
                let shape = if *on_input {
                    (1, factor.elem_count())
                } else {
                    (factor.elem_count(), 1)
                };
                let factor = factor.reshape(shape)?;
                match weight.dims() {
                    [outputs, inputs] if factor.elem_count() == if *on_input { *inputs } else { *outputs } => {
                        weight.broadcast_mul(&factor)?
                    }
                    _ => return Ok(None),
                }
            }
        };
        if delta.elem_count() != wanted {
            return Ok(None);
        }
        Ok(Some((delta.reshape(weight.shape())? * self.scale)?))
    }

    /// What is added to a bias (f32) at strength 1; `None` if nothing is.
    pub(super) fn of_bias(&self, bias: &Tensor) -> Computed<Option<Tensor>> {
        match &self.bias {
            Some(delta) if delta.elem_count() == bias.elem_count() => Ok(Some((delta.reshape(bias.shape())? * self.scale)?)),
            _ => Ok(None),
        }
    }

    /// Whether the layer changes a bias.
    pub(super) fn has_bias(&self) -> bool {
        self.bias.is_some()
    }
}

/// The most numbers that two factors of one layer, or what stands between them and their kernel, may multiply out to.
const LARGEST_PRODUCT: usize = 1 << 28;

/// A tensor given whole, or as two factors (and a kernel): the tensor and, for factors, their rank. The product is taken from `room`.
fn whole_or_factors(
    need: &mut impl FnMut(Field) -> Result<Tensor, String>,
    room: &mut usize,
    whole: Field,
    [a, b]: [Field; 2],
    kernel: Option<Field>,
) -> Result<Option<(Tensor, Option<usize>)>, String> {
    if let Ok(whole) = need(whole) {
        return Ok(Some((whole, None)));
    }
    let Ok(a) = need(a) else { return Ok(None) };
    let b = need(b)?;
    let rank = b.dims().first().copied().filter(|n| *n > 0);
    // Factors of a Kronecker product are small: their product never exceeds the weight it is for.
    let limit = LARGEST_PRODUCT.min(*room);
    let kernel = kernel.and_then(|k| need(k).ok());
    let product = Factors { a, b, kernel }.product(limit).map_err(|e| e.to_string())?;
    let product = product.ok_or("its factors do not fit each other, or multiply out to too much")?;
    *room -= product.elem_count();
    Ok(Some((product, rank)))
}

impl Factors {
    /// The product, unless it would have more than `limit` elements or the factors do not fit each other.
    fn product(&self, limit: usize) -> Computed<Option<Tensor>> {
        match &self.kernel {
            Some(kernel) => {
                let Ok(a) = self.a.t() else { return Ok(None) };
                tucker(kernel, &a.contiguous()?, &self.b, limit)
            }
            None => match (self.a.dims(), self.b.dims()) {
                ([n, r], [s, m]) if r == s && n.checked_mul(*m).is_some_and(|c| c <= limit) => Ok(Some(self.a.matmul(&self.b)?)),
                _ => Ok(None),
            },
        }
    }
}

/// `result[p, r, …] = sum over i, j of kernel[i, j, …] a[p, i] b[j, r]`.
fn tucker(kernel: &Tensor, a: &Tensor, b: &Tensor, limit: usize) -> Computed<Option<Tensor>> {
    let (&[i, j, kh, kw], &[p, a_in], &[b_in, r]) = (kernel.dims(), a.dims(), b.dims()) else {
        return Ok(None);
    };
    let size = |axis: usize| [axis, kh, kw].iter().try_fold(p, |n, &m| n.checked_mul(m));
    let fits = i == a_in && j == b_in && size(r).is_some_and(|n| n <= limit);
    if !fits || size(j).is_none_or(|n| n > LARGEST_PRODUCT) {
        return Ok(None);
    }
    let left = a.matmul(&kernel.reshape((i, j * kh * kw))?)?.reshape((p, j, kh * kw))?;
    let both = left.transpose(1, 2)?.contiguous()?.reshape((p * kh * kw, j))?.matmul(b)?;
    Ok(Some(
        both.reshape((p, kh * kw, r))?
            .transpose(1, 2)?
            .contiguous()?
            .reshape((p, r, kh, kw))?,
    ))
}

/// `up · down` over flattened kernels.
fn low_rank(up: &Tensor, down: &Tensor, mid: Option<&Tensor>, wanted: usize) -> Computed<Option<Tensor>> {
    let matrix = |t: &Tensor| if t.rank() < 2 { Ok(None) } else { t.flatten_from(1).map(Some) };
    let (Some(up), Some(down)) = (matrix(up)?, matrix(down)?) else {
        return Ok(None);
    };
    if let Some(mid) = mid {
        return tucker(mid, &up, &down, wanted);
    }
    let ((outputs, up_rank), (down_rank, inputs)) = (up.dims2()?, down.dims2()?);
    if outputs.checked_mul(inputs) != Some(wanted) || up_rank == 0 || down_rank == 0 {
        return Ok(None);
    }
    if up_rank == down_rank {
        return Ok(Some(up.matmul(&down)?));
    }
    // A fused projection's factors: several downward ones share one upward.
    if down_rank % up_rank == 0 {
        let down = down.reshape((down_rank / up_rank, up_rank, inputs))?.sum(0)?;
        return Ok(Some(up.matmul(&down)?));
    }
    Ok(None)
}

/// The Kronecker product of a matrix and a matrix or kernel.
fn kronecker(first: &Tensor, second: &Tensor, wanted: usize) -> Computed<Option<Tensor>> {
    let &[a, b] = first.dims() else { return Ok(None) };
    let (c, d, kernel) = match *second.dims() {
        [c, d] => (c, d, 1),
        [c, d, kh, kw] => (c, d, kh * kw),
        _ => return Ok(None),
    };
    if [b, c, d, kernel].iter().try_fold(a, |n, &m| n.checked_mul(m)) != Some(wanted) {
        return Ok(None);
    }
    let product = first
        .reshape((a, 1, b, 1, 1))?
        .broadcast_mul(&second.reshape((1, c, 1, d, kernel))?)?;
    Ok(Some(product.reshape((a * c, b * d * kernel))?))
}

impl Magnitude {
    /// DoRA: the patched weight is brought to the magnitude along one axis; returns the difference to the original.
    fn apply(&self, weight: &Tensor, delta: &Tensor) -> Computed<Option<Tensor>> {
        let patched = (weight + delta)?;
        let dims = weight.dims();
        let &[outputs, inputs, ..] = dims else { return Ok(None) };
        let matrix = patched.reshape((outputs, inputs, ()))?.contiguous()?;
        let (axis_len, shape) = if self.of_outputs {
            (outputs, (outputs, 1, 1))
        } else {
            (inputs, (1, inputs, 1))
        };
        if self.values.elem_count() != axis_len {
            return Ok(None);
        }
        let squares = matrix.sqr()?.sum_keepdim(2)?;
        let norm = squares.sum_keepdim(usize::from(self.of_outputs))?.sqrt()?;
        let factor = self.values.reshape(shape)?.div(&norm)?;
        Ok(Some((matrix.broadcast_mul(&factor)?.reshape(dims)? - weight)?))
    }
}
