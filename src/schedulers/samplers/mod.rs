//! The samplers. Each file describes its own by a [`SchedulerSpec`]; this is their list.

use super::spec::SchedulerSpec;

mod ddim;
mod ddpm;
mod dpm_solver;
mod euler;
mod lms;
mod pndm;
mod sigmas;
mod solver;

/// In the order in which users are told of them.
pub(super) static SAMPLERS: &[&SchedulerSpec] =
    &[&pndm::SPEC, &ddim::SPEC, &ddpm::SPEC, &euler::SPEC, &lms::SPEC, &dpm_solver::SPEC];
