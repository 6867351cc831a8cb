//! NVIDIA's compiler NVRTC and CUDA's headers, which a driver does not bring: where they are, beyond
//! where burn looks.

use std::{
    env, fs, io, panic,
    path::{Path, PathBuf},
};

/// Tells the program, once it has started itself again, that there is no use in a second time.
const FOUND: &str = "DVAR_CUDA_TOOLKIT";

/// What kernels include, and the package on PyPI that has it.
const HEADERS: [(&str, &str); 4] = [
    ("cuda_fp16.h", "nvidia-cuda-runtime-cu12"),
    ("mma.h", "nvidia-cuda-runtime-cu12"),
    ("nv/target", "nvidia-cuda-cccl-cu12"),
    ("crt/mma.h", "nvidia-cuda-nvcc-cu12"),
];
const NVRTC: &str = "nvidia-cuda-nvrtc-cu12";

/// A toolkit as NVIDIA installs it, in one folder, or as a Python environment has it, in several.
struct Toolkit {
    folder: PathBuf,
    parts: Vec<PathBuf>,
}

/// Sees to it that burn finds compiler and headers. Where they lie elsewhere, the program is started
/// again with the variables that lead to them, which no running program can safely set for itself;
/// a folder in `cache` then has them together.
///
/// # Errors
///
/// What is missing, and how to get it.
pub(super) fn prepare(cache: &Path) -> Result<(), String> {
    let known = cubecl_cuda::install::cuda_path().map(Toolkit::of_one_folder);
    let mut missing =
        known.map_or_else(|| all_headers(&[]), |known| all_headers(&known.includes()));
    if panic::catch_unwind(|| cudarc::nvrtc::result::create_program(c"", None)).is_err() {
        missing.push(NVRTC);
    }
    if missing.is_empty() {
        return Ok(());
    }
    let toolkits = toolkits();
    let Some(whole) = toolkits.iter().find(|toolkit| toolkit.missing().is_empty()) else {
        let nearest = toolkits.iter().map(Toolkit::missing).min_by_key(Vec::len);
        return Err(format!(
            "NVIDIA's compiler or its headers are missing, which the driver does not bring; `pip \
             install {}` into the Python environment that dvar is started in, or install the CUDA \
             toolkit and set `CUDA_PATH`",
            nearest.unwrap_or(missing).join(" ")
        ));
    };
    let folder = whole.folder.display();
    if env::var_os(FOUND).is_some() {
        return Err(format!("NVIDIA's compiler in `{folder}` cannot be loaded"));
    }
    let error = whole.linked(cache).map_or_else(|error| error, |linked| restart(&linked));
    Err(format!("NVIDIA's compiler in `{folder}` cannot be used: {error}"))
}

/// Where a toolkit is looked for, in this order.
fn toolkits() -> Vec<Toolkit> {
    let of = |name: &str| env::var_os(name).map(PathBuf::from);
    let named = ["CUDA_PATH", "CUDA_HOME"].into_iter().filter_map(of);
    let usual = beginning("/usr/local".as_ref(), "cuda").into_iter();
    let usual = usual.chain(["/opt/cuda", "/usr"].map(PathBuf::from));
    let installed = named.chain(usual).map(Toolkit::of_one_folder);

    let environments = ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(of);
    let environments = environments.chain(env::home_dir().map(|home| home.join(".local")));
    let environments = environments.chain(["/usr/local", "/usr"].map(PathBuf::from));
    let versions = environments.flat_map(|prefix| beginning(&prefix.join("lib"), "python3"));
    let packages = versions.flat_map(|version| {
        ["site-packages", "dist-packages"].map(|packages| version.join(packages).join("nvidia"))
    });
    let wheels = packages.map(|folder| Toolkit { parts: beginning(&folder, "cu"), folder });
    installed.chain(wheels).collect()
}

/// What in a folder begins with a name, the last first, which is the newest version.
fn beginning(folder: &Path, name: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let named = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(name));
    let mut paths: Vec<PathBuf> = named.map(|entry| entry.path()).collect();
    paths.sort_by(|a, b| b.cmp(a));
    paths
}

/// The packages whose headers none of these folders has.
fn all_headers(includes: &[PathBuf]) -> Vec<&'static str> {
    let absent = |name: &str| !includes.iter().any(|folder| folder.join(name).exists());
    let absent = HEADERS.iter().filter(|(name, _)| absent(name));
    let mut packages: Vec<_> = absent.map(|(_, package)| *package).collect();
    packages.dedup();
    packages
}

impl Toolkit {
    fn of_one_folder(folder: PathBuf) -> Self {
        Self { parts: vec![folder.clone()], folder }
    }

    /// The folders of its headers.
    fn includes(&self) -> Vec<PathBuf> {
        let of = |part: &PathBuf| ["include", "include/cccl"].map(|name| part.join(name));
        self.parts.iter().flat_map(of).collect()
    }

    /// The folder of its compiler.
    fn libraries(&self) -> Option<PathBuf> {
        let names = ["lib64", "lib", "lib/x86_64-linux-gnu", "targets/x86_64-linux/lib"];
        let mut folders = self.parts.iter().flat_map(|part| names.map(|name| part.join(name)));
        folders.find(|folder| !beginning(folder, "libnvrtc.so").is_empty())
    }

    /// The packages that it lacks.
    fn missing(&self) -> Vec<&'static str> {
        let nvrtc = self.libraries().is_none().then_some(NVRTC);
        nvrtc.into_iter().chain(all_headers(&self.includes())).collect()
    }

    /// A folder in `cache` with links to all of it, as burn wants it: `include/` and `lib/`.
    #[cfg(unix)]
    fn linked(&self, cache: &Path) -> io::Result<PathBuf> {
        let name = self.folder.to_string_lossy().replace('/', "-");
        let linked = cache.join(format!("cuda{name}"));
        let libraries = self.libraries().into_iter().collect();
        for (kind, folders) in [("include", self.includes()), ("lib", libraries)] {
            let to = linked.join(kind);
            fs::create_dir_all(&to)?;
            for from in folders.iter().flat_map(|folder| beginning(folder, "")) {
                let link = to.join(from.file_name().unwrap_or_default());
                match std::os::unix::fs::symlink(&from, link) {
                    // an earlier part's, or another process was faster
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    done => done?,
                }
            }
        }
        Ok(linked)
    }

    #[cfg(not(unix))]
    fn linked(&self, _: &Path) -> io::Result<PathBuf> {
        Err(io::Error::other("set `CUDA_PATH` to it, and `PATH` to the folder of its libraries"))
    }
}

/// Starts the program again with the variables that lead to a toolkit. What comes back is why not.
#[cfg(unix)]
fn restart(toolkit: &Path) -> io::Error {
    use std::{os::unix::process::CommandExt, process::Command};

    let program = match env::current_exe() {
        Ok(program) => program,
        Err(error) => return error,
    };
    let mut folders = toolkit.join("lib").into_os_string();
    if let Some(others) = env::var_os("LD_LIBRARY_PATH").filter(|others| !others.is_empty()) {
        folders.push(":");
        folders.push(others);
    }
    let mut command = Command::new(program);
    command.args(env::args_os().skip(1)).env("LD_LIBRARY_PATH", folders);
    command.env("CUDA_PATH", toolkit).env(FOUND, toolkit).exec()
}

#[cfg(not(unix))]
fn restart(_: &Path) -> io::Error {
    io::ErrorKind::Unsupported.into()
}
