//! PNDM: a fourth order linear multistep method, warmed up by Runge-Kutta steps unless the config leaves them out.

use candle_core::{Result, Tensor};

use super::config::SchedulerConfig;
use super::ddim::{PLAIN_BETAS, Shares, whole_timesteps};
use super::{Built, Error, PredictionType, Scheduler, StepOutput, TorchGenerator, combine};

/// Steps whose Runge-Kutta evaluations warm the method up.
const ORDER: usize = 4;

#[derive(Debug, Clone)]
pub(super) struct Pndm {
    timesteps: Vec<f64>,
    warm_up: usize,
    shares: Shares,
    stride: i64,
    prediction: PredictionType,
    counter: usize,
    outputs: Vec<Tensor>,
    sample: Option<Tensor>,
    sum: Option<Tensor>,
}

impl Pndm {
    pub(super) fn new(config: &SchedulerConfig, steps: usize) -> Built<Self> {
        let prediction = config.prediction();
        if prediction == PredictionType::Sample {
            return Err(Error::unsupported("prediction_type", "sample", "epsilon or v_prediction for pndm"));
        }
        let rising: Vec<f64> = whole_timesteps(config, steps)?.into_iter().rev().collect();
        let stride = (config.train_timesteps() / steps) as i64;
        let (timesteps, warm_up) = if config.skip_prk_steps.unwrap_or(false) {
            // The step before the last comes twice: the second visit corrects the first with the average of two outputs.
            let before_last = rising.len().checked_sub(2).map(|i| rising[i]);
            let (last, others) = rising.split_last().ok_or(Error::Steps {
                steps,
                limit: config.train_timesteps(),
            })?;
            let list = std::iter::once(*last).chain(before_last).chain(others.iter().rev().copied());
            (list.collect(), 0)
        } else {
            if steps < ORDER {
                return Err(Error::unsupported(
                    "skip_prk_steps",
                    "false",
                    "true, for pndm with fewer than 4 steps",
                ));
            }
            let half = (stride / 2) as f64;
            let warm: Vec<f64> = rising[steps - ORDER..].iter().flat_map(|&t| [t, t + half]).collect();
            let warm: Vec<f64> = warm[..warm.len() - 1].iter().flat_map(|&t| [t, t]).collect();
            let warm = &warm[1..warm.len() - 1];
            let rest = &rising[..steps - (ORDER - 1)];
            (warm.iter().chain(&[]).rev().chain(rest.iter().rev()).copied().collect(), warm.len())
        };
        Ok(Self {
            timesteps,
            warm_up,
            shares: Shares::new(config, PLAIN_BETAS, false)?,
            stride,
            prediction,
            counter: 0,
            outputs: Vec::new(),
            sample: None,
            sum: None,
        })
    }

    /// Moves a sample between two timesteps along the noise of `output`.
    fn transfer(&self, sample: &Tensor, from: i64, to: i64, output: &Tensor) -> Result<Tensor> {
        let (share, next) = (self.shares.at(from), self.shares.at(to));
        let (beta, next_beta) = (1.0 - share, 1.0 - next);
        let noise = match self.prediction {
            PredictionType::VPrediction => combine(&[(share.sqrt(), output), (beta.sqrt(), sample)])?,
            PredictionType::Epsilon | PredictionType::Sample => output.clone(),
        };
        let divisor = share * next_beta.sqrt() + (share * beta * next).sqrt();
        combine(&[((next / share).sqrt(), sample), (-(next - share) / divisor, &noise)])
    }

    fn runge_kutta(&mut self, output: &Tensor, timestep: i64, sample: &Tensor) -> Result<Tensor> {
        let back = if self.counter % 2 == 1 { 0 } else { self.stride / 2 };
        let to = timestep - back;
        let from = self.timesteps[self.counter / 4 * 4] as i64;
        let weighted = |weight: f32, sum: Option<&Tensor>| match sum {
            Some(sum) => combine(&[(1.0, sum), (weight, output)]),
            None => combine(&[(weight, output)]),
        };
        let mut direction = output.clone();
        match self.counter % 4 {
            0 => {
                self.sum = Some(weighted(1.0 / 6.0, self.sum.as_ref())?);
                self.outputs.push(output.clone());
                self.sample = Some(sample.clone());
            }
            1 | 2 => self.sum = Some(weighted(1.0 / 3.0, self.sum.as_ref())?),
            _ => direction = weighted(1.0 / 6.0, self.sum.take().as_ref())?,
        }
        let start = self.sample.clone().unwrap_or_else(|| sample.clone());
        self.transfer(&start, from, to, &direction)
    }

    fn multistep(&mut self, output: &Tensor, timestep: i64, sample: &Tensor) -> Result<Tensor> {
        let (mut from, mut to) = (timestep, timestep - self.stride);
        if self.counter == 1 {
            (from, to) = (timestep + self.stride, timestep);
        } else {
            let surplus = self.outputs.len().saturating_sub(ORDER - 1);
            self.outputs.drain(..surplus);
            self.outputs.push(output.clone());
        }
        let mut start = sample.clone();
        let past = |i: usize| &self.outputs[self.outputs.len() - i];
        let direction = match self.outputs.len() {
            1 if self.counter == 0 => {
                self.sample = Some(sample.clone());
                output.clone()
            }
            1 => {
                let direction = (combine(&[(1.0, output), (1.0, past(1))])? / 2.0)?;
                start = self.sample.take().unwrap_or(start);
                direction
            }
            2 => (combine(&[(3.0, past(1)), (-1.0, past(2))])? / 2.0)?,
            3 => (combine(&[(23.0, past(1)), (-16.0, past(2)), (5.0, past(3))])? / 12.0)?,
            _ => (combine(&[(55.0, past(1)), (-59.0, past(2)), (37.0, past(3)), (-9.0, past(4))])? / 24.0)?,
        };
        self.transfer(&start, from, to, &direction)
    }
}

impl Scheduler for Pndm {
    fn timesteps(&self) -> &[f64] {
        &self.timesteps
    }

    fn train_timesteps(&self) -> usize {
        self.shares.len()
    }

    fn add_noise(&self, picture: &Tensor, noise: &Tensor, timestep: f64) -> Result<Tensor> {
        self.shares.add_noise(picture, noise, timestep)
    }

    fn step(&mut self, output: &Tensor, timestep: f64, sample: &Tensor, _: &mut TorchGenerator) -> Result<StepOutput> {
        let timestep = timestep as i64;
        let sample = if self.counter < self.warm_up {
            self.runge_kutta(output, timestep, sample)?
        } else {
            self.multistep(output, timestep, sample)?
        };
        self.counter += 1;
        Ok(StepOutput { sample, predicted: None })
    }

    fn fork(&self) -> Box<dyn Scheduler> {
        Box::new(self.clone())
    }
}
