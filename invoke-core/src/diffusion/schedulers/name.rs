//! The names under which samplers are chosen, and what each name builds.

use serde::{Deserialize, Serialize};

use super::config::SchedulerConfig;
use super::{
    Built, Error, Scheduler, ddim, ddpm, deis, dpm_multistep, dpm_sde, dpm_singlestep, er_sde, euler, heun, kdpm2, kdpm2_ancestral, lcm,
    lms, pndm, tcd, unipc,
};

macro_rules! names {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A sampler by its name on the wire.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum SchedulerName {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }

        impl SchedulerName {
            /// All names, in the order in which interfaces list them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

names! {
    /// DDIM (Song et al., 2020), deterministic.
    Ddim = "ddim",
    /// DDPM (Ho et al., 2020).
    Ddpm = "ddpm",
    /// DEIS (Zhang and Chen, 2022).
    Deis = "deis",
    /// DEIS on Karras sigmas.
    DeisK = "deis_k",
    /// Linear multistep.
    Lms = "lms",
    /// Linear multistep on Karras sigmas.
    LmsK = "lms_k",
    /// Pseudo numerical methods (Liu et al., 2022).
    Pndm = "pndm",
    /// Heun's second order method.
    Heun = "heun",
    /// Heun's method on Karras sigmas.
    HeunK = "heun_k",
    /// Euler's method.
    Euler = "euler",
    /// Euler's method on Karras sigmas.
    EulerK = "euler_k",
    /// Euler's method with ancestral noise.
    EulerA = "euler_a",
    /// DPM2 of k-diffusion.
    Kdpm2 = "kdpm_2",
    /// DPM2 on Karras sigmas.
    Kdpm2K = "kdpm_2_k",
    /// DPM2 with ancestral noise.
    Kdpm2A = "kdpm_2_a",
    /// DPM2 with ancestral noise on Karras sigmas.
    Kdpm2AK = "kdpm_2_a_k",
    /// DPM-Solver++ singlestep, order 2.
    Dpmpp2s = "dpmpp_2s",
    /// The same on Karras sigmas.
    Dpmpp2sK = "dpmpp_2s_k",
    /// DPM-Solver++ multistep, order 2.
    Dpmpp2m = "dpmpp_2m",
    /// The same on Karras sigmas.
    Dpmpp2mK = "dpmpp_2m_k",
    /// DPM-Solver++ multistep as a stochastic equation.
    Dpmpp2mSde = "dpmpp_2m_sde",
    /// The same on Karras sigmas.
    Dpmpp2mSdeK = "dpmpp_2m_sde_k",
    /// DPM-Solver++ multistep, order 3.
    Dpmpp3m = "dpmpp_3m",
    /// The same on Karras sigmas; the usual default of interfaces.
    Dpmpp3mK = "dpmpp_3m_k",
    /// DPM-Solver++ stochastic, midpoint, on a Brownian path.
    DpmppSde = "dpmpp_sde",
    /// The same on Karras sigmas.
    DpmppSdeK = "dpmpp_sde_k",
    /// ER-SDE (Cui et al., 2023).
    ErSde = "er_sde",
    /// UniPC (Zhao et al., 2023).
    Unipc = "unipc",
    /// UniPC on Karras sigmas.
    UnipcK = "unipc_k",
    /// Latent consistency (Luo et al., 2023).
    Lcm = "lcm",
    /// Trajectory consistency (Zheng et al., 2024).
    Tcd = "tcd",
}

impl std::fmt::Display for SchedulerName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for SchedulerName {
    type Err = Error;

    fn from_str(name: &str) -> Built<Self> {
        let known = Self::ALL.iter().copied().find(|n| n.as_str() == name);
        known.ok_or_else(|| Error::unsupported("scheduler", name, "one of the scheduler names"))
    }
}

impl SchedulerName {
    /// A sampler for a run of `steps` steps of a model with this config. `seed` is the run's: the methods on a Brownian path are
    /// seeded here, all others draw from the generator handed to them at each step.
    pub fn build(self, config: &SchedulerConfig, steps: usize, seed: u64) -> Built<Box<dyn Scheduler>> {
        use dpm_multistep::{Algorithm, DpmMultistep};
        let c = config;
        let multistep = |karras, order| DpmMultistep::new(c, steps, karras, order, Algorithm::of_config(c)?);
        let sde = |karras| DpmMultistep::new(c, steps, karras, 2, Algorithm::Stochastic);
        Ok(match self {
            Self::Ddim => Box::new(ddim::Ddim::new(c, steps)?),
            Self::Ddpm => Box::new(ddpm::Ddpm::new(c, steps)?),
            Self::Deis => Box::new(deis::Deis::new(c, steps, false)?),
            Self::DeisK => Box::new(deis::Deis::new(c, steps, true)?),
            Self::Lms => Box::new(lms::Lms::new(c, steps, false)?),
            Self::LmsK => Box::new(lms::Lms::new(c, steps, true)?),
            Self::Pndm => Box::new(pndm::Pndm::new(c, steps)?),
            Self::Heun => Box::new(heun::Heun::new(c, steps, false)?),
            Self::HeunK => Box::new(heun::Heun::new(c, steps, true)?),
            Self::Euler => Box::new(euler::Euler::new(c, steps, false)?),
            Self::EulerK => Box::new(euler::Euler::new(c, steps, true)?),
            Self::EulerA => Box::new(euler::EulerAncestral::new(c, steps)?),
            Self::Kdpm2 => Box::new(kdpm2::Kdpm2::new(c, steps, false)?),
            Self::Kdpm2K => Box::new(kdpm2::Kdpm2::new(c, steps, true)?),
            Self::Kdpm2A => Box::new(kdpm2_ancestral::Kdpm2Ancestral::new(c, steps, false)?),
            Self::Kdpm2AK => Box::new(kdpm2_ancestral::Kdpm2Ancestral::new(c, steps, true)?),
            Self::Dpmpp2s => Box::new(dpm_singlestep::DpmSinglestep::new(c, steps, false)?),
            Self::Dpmpp2sK => Box::new(dpm_singlestep::DpmSinglestep::new(c, steps, true)?),
            Self::Dpmpp2m => Box::new(multistep(false, 2)?),
            Self::Dpmpp2mK => Box::new(multistep(true, 2)?),
            Self::Dpmpp2mSde => Box::new(sde(false)?),
            Self::Dpmpp2mSdeK => Box::new(sde(true)?),
            Self::Dpmpp3m => Box::new(multistep(false, 3)?),
            Self::Dpmpp3mK => Box::new(multistep(true, 3)?),
            Self::DpmppSde => Box::new(dpm_sde::DpmSde::new(c, steps, false, seed)?),
            Self::DpmppSdeK => Box::new(dpm_sde::DpmSde::new(c, steps, true, seed)?),
            Self::ErSde => Box::new(er_sde::ErSde::new(c, steps)?),
            Self::Unipc => Box::new(unipc::UniPc::new(c, steps, false)?),
            Self::UnipcK => Box::new(unipc::UniPc::new(c, steps, true)?),
            Self::Lcm => Box::new(lcm::Lcm::new(c, steps)?),
            Self::Tcd => Box::new(tcd::Tcd::new(c, steps)?),
        })
    }
}
