//! Learning rates against diffusers 0.35.2 `get_scheduler` driving a torch optimizer: 1e-12
//! relative.

use dvar::optim::lr_schedule::{LrSchedule, LrShape};

use crate::golden;

#[test]
fn every_schedule_gives_the_rates_of_diffusers() {
    let golden = golden::json("lr_schedules");
    let rows = golden["rows"].as_array().unwrap();
    assert!(!rows.is_empty());
    let mut largest = 0.0f64;
    for row in rows {
        let size = |key: &str| row[key].as_u64().unwrap() as usize;
        let kind: LrShape = row["name"].as_str().unwrap().parse().unwrap();
        let base_lr = row["base_lr"].as_f64().unwrap();
        let mut schedule = LrSchedule::new(kind, base_lr, size("warmup"), size("total"));
        if let Some(cycles) = row["kwargs"]["num_cycles"].as_u64() {
            schedule.num_cycles = cycles as usize;
        }
        if let Some(power) = row["kwargs"]["power"].as_f64() {
            schedule.power = power;
        }
        for (step, want) in golden::numbers(&row["lr_used_at_step"]).into_iter().enumerate() {
            let got = schedule.at(step);
            let error = (got - want).abs();
            assert!(error <= 1e-12 * want.abs(), "{schedule:?} step {step}: {got} {want}");
            largest = largest.max(error / want.abs().max(f64::MIN_POSITIVE));
        }
    }
    println!("lr_schedules: largest relative error {largest:.3e} (limit 1e-12)");
}
