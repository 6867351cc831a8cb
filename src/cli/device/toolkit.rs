//! NVIDIA's compiler NVRTC and CUDA's headers, which a driver does not bring: where they are, beyond
//! where burn looks.

#[cfg(unix)]
use std::io;
use std::{
    env, fs,
    path::{Path, PathBuf},
};

use super::versions::{self, Version};

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

/// All that together are a toolkit.
pub(super) const PACKAGES: [&str; 4] =
    [NVRTC, "nvidia-cuda-runtime-cu12", "nvidia-cuda-cccl-cu12", "nvidia-cuda-nvcc-cu12"];

/// A toolkit as NVIDIA installs it, in one folder, or as a Python environment has it, in several.
struct Toolkit {
    folder: PathBuf,
    parts: Vec<PathBuf>,
}

/// Sees to it that burn finds compiler and headers, and a compiler that is not too new for the driver if
/// there is one. Where they lie elsewhere, the program is started again with the variables that lead to
/// them, which no running program can safely set for itself; a folder in `cache` then has them together.
///
/// # Errors
///
/// What is missing, and how to get it.
pub(super) fn prepare(cache: &Path) -> Result<(), String> {
    let known = cubecl_cuda::install::cuda_path().map(Toolkit::of_one_folder);
    let mut missing =
        known.map_or_else(|| all_headers(&[]), |known| all_headers(&known.includes()));
    let (driver, compiler) = (versions::of_driver(), versions::of_compiler());
    if compiler.is_none() {
        missing.push(NVRTC);
    }
    let fits = |version: Version| driver.is_none_or(|driver| version <= driver);
    if missing.is_empty() && compiler.is_some_and(fits) {
        return Ok(());
    }
    let toolkits = toolkits();
    let whole = || toolkits.iter().filter(|toolkit| toolkit.missing().is_empty());
    let fitting = whole().find(|toolkit| toolkit.version().is_some_and(fits));
    let found = env::var_os(FOUND).is_some();
    if missing.is_empty() && (found || fitting.is_none()) {
        return Ok(()); // the driver will refuse its first kernel, and the user is told what to do
    }
    let Some(whole) = fitting.or_else(|| whole().next()) else {
        let nearest = toolkits.iter().map(Toolkit::missing).min_by_key(Vec::len);
        // the packages for Windows have other layouts, which are not looked for
        let packages = if cfg!(unix) {
            let install = install(&nearest.unwrap_or(missing));
            format!("`{install}` into the Python environment that dvar is started in, or ")
        } else {
            String::new()
        };
        return Err(format!(
            "NVIDIA's compiler or its headers are missing, which the driver does not bring; {packages}\
             install the CUDA toolkit and set `CUDA_PATH`"
        ));
    };
    let folder = whole.folder.display();
    if found {
        return Err(format!("NVIDIA's compiler in `{folder}` cannot be loaded"));
    }
    Err(format!("NVIDIA's compiler in `{folder}` cannot be used: {}", whole.start_with(cache)))
}

/// The command that installs these packages, none newer than the driver.
pub(super) fn install(packages: &[&str]) -> String {
    install_for(versions::of_driver(), packages)
}

fn install_for(driver: Option<Version>, packages: &[&str]) -> String {
    // 12.9 is the last of these packages, and whatever is newer takes it
    let bound = match driver {
        Some((12, minor @ ..=8)) => format!("<12.{}", minor + 1),
        _ => String::new(),
    };
    let quote = if bound.is_empty() { "" } else { "'" };
    let packages = packages.iter().map(|package| format!(" {quote}{package}{bound}{quote}"));
    format!("pip install{}", packages.collect::<String>())
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

    /// The version of its compiler, by the name of a library that comes with it.
    fn version(&self) -> Option<Version> {
        const BEGIN: &str = "libnvrtc-builtins.so.";
        let library = beginning(&self.libraries()?, BEGIN).into_iter().next()?;
        let mut numbers = library.file_name()?.to_str()?.strip_prefix(BEGIN)?.split('.');
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
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
        let libraries: Vec<PathBuf> = self.libraries().into_iter().collect();
        for (kind, folders) in [("include", &self.includes()), ("lib", &libraries)] {
            let to = linked.join(kind);
            fs::create_dir_all(&to)?;
            for from in folders.iter().flat_map(|folder| beginning(folder, "")) {
                link(&from, &to.join(from.file_name().unwrap_or_default()))?;
            }
        }
        // the name that is tried first, by which the loader may know another compiler
        let compiler = libraries.iter().find_map(|folder| beginning(folder, "libnvrtc.so").pop());
        if let Some(compiler) = compiler {
            link(&compiler, &linked.join("lib/libnvrtc.so"))?;
        }
        Ok(linked)
    }

    /// Starts the program again with this toolkit. What comes back is why not.
    #[cfg(unix)]
    fn start_with(&self, cache: &Path) -> String {
        match self.linked(cache) {
            Ok(linked) => restart(&linked).to_string(),
            Err(error) => format!(
                "`{}`, where links to it belong: {error}; set `XDG_CACHE_HOME` to a folder that can be \
                 written to",
                cache.display()
            ),
        }
    }

    #[cfg(not(unix))]
    fn start_with(&self, _: &Path) -> String {
        "set `CUDA_PATH` to it, and `PATH` to the folder of its libraries".into()
    }
}

/// A link to `from`, unless an earlier part or another process has made one there.
#[cfg(unix)]
fn link(from: &Path, to: &Path) -> io::Result<()> {
    if to.is_symlink() && !to.exists() {
        // to what was uninstalled since
        let _ = fs::remove_file(to);
    }
    match std::os::unix::fs::symlink(from, to) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        done => done,
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

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn packages_are_not_newer_than_the_driver() {
        let packages = ["nvidia-cuda-nvrtc-cu12", "nvidia-cuda-cccl-cu12"];
        let plain = "pip install nvidia-cuda-nvrtc-cu12 nvidia-cuda-cccl-cu12";
        for driver in [Some((13, 0)), Some((12, 9)), None] {
            assert_eq!(install_for(driver, &packages), plain);
        }
        let bound = "pip install 'nvidia-cuda-nvrtc-cu12<12.5' 'nvidia-cuda-cccl-cu12<12.5'";
        assert_eq!(install_for(Some((12, 4)), &packages), bound);
    }

    #[test]
    fn links_lead_to_the_packages_that_are_there_now() {
        let folder = tempfile::tempdir().unwrap();
        let (nvidia, cache) = (folder.path().join("nvidia"), folder.path().join("cache"));
        let write = |file: &str| {
            let file = nvidia.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, file.to_str().unwrap()).unwrap();
        };
        let linked = || {
            let toolkit = Toolkit { parts: beginning(&nvidia, "cu"), folder: nvidia.clone() };
            (toolkit.version(), toolkit.linked(&cache).unwrap())
        };
        let read = |linked: &Path, file: &str| fs::read_to_string(linked.join(file)).unwrap();
        for file in ["cuda_runtime/include/mma.h", "cuda_nvrtc/lib/libnvrtc.so.12"] {
            write(file);
        }
        write("cuda_nvrtc/lib/libnvrtc-builtins.so.12.4");
        let (version, old) = linked();
        assert_eq!(version, Some((12, 4)));
        assert!(read(&old, "include/mma.h").contains("cuda_runtime"));
        assert!(read(&old, "lib/libnvrtc.so").ends_with("libnvrtc.so.12"));

        // as an upgrade of PyTorch replaces them
        for old in ["cuda_runtime", "cuda_nvrtc"] {
            fs::remove_dir_all(nvidia.join(old)).unwrap();
        }
        write("cu13/include/mma.h");
        write("cu13/lib/libnvrtc.so.13");
        write("cu13/lib/libnvrtc-builtins.so.13.0");
        let (version, new) = linked();
        assert_eq!(version, Some((13, 0)));
        assert!(read(&new, "include/mma.h").contains("cu13"));
        assert!(read(&new, "lib/libnvrtc.so").ends_with("libnvrtc.so.13"));
    }
}
