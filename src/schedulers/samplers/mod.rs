//! The samplers. Each file describes its own by a [`SchedulerSpec`]; this is their list.

use super::spec::SchedulerSpec;

mod ddim;
mod ddpm;
mod deis;
mod dpm_solver;
mod euler;
mod euler_ancestral;
mod lms;
mod pndm;
mod sigmas;
mod solver;
mod unipc;

/// What draws in place of a sampler that is not in the list, and what does where the first would need a
/// variant of its own that is not there: it has none.
pub(super) static STAND_INS: [&SchedulerSpec; 2] = [&euler::SPEC, &euler_ancestral::SPEC];

/// In the order in which users are told of them.
pub(super) static SAMPLERS: &[&SchedulerSpec] = &[
    &pndm::SPEC,
    &ddim::SPEC,
    &ddpm::SPEC,
    &euler::SPEC,
    &euler_ancestral::SPEC,
    &lms::SPEC,
    &dpm_solver::SPEC,
    &deis::SPEC,
    &unipc::SPEC,
];
