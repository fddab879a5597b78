#!/bin/sh
# install_root.sh wheel|conda|tarball: makes /opt/rdf, a Python that has ROOT and what is in requirements.txt.
#
#   wheel     (default) ROOT's wheel from wheels/, which `rdf-lithops runtime build` fills
#   conda     conda-forge's root, by the micromamba in wheels/ (a file called `micromamba`); needs conda-forge's server
#   tarball   a binary release of ROOT in wheels/ (root_v*.tar.gz) made for the base's distribution and Python
set -eu
here=/recipe
wheels=$here/wheels
pip_install() {  # nothing is fetched here: wheels/ has it all, as pinned
    /opt/rdf/bin/python -m pip install --quiet --no-index --find-links "$wheels" --no-deps --no-compile "$@"
}
without_root() {
    grep -v -i '^root==' "$here/requirements.txt" > /tmp/requirements.txt
}

case "$1" in
wheel)
    python3 -m venv /opt/rdf
    pip_install --pre -r "$here/requirements.txt"
    ;;
conda)
    python=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    "$wheels/micromamba" create --yes --quiet --prefix /opt/rdf --channel conda-forge "python=$python" root=6.40 pip
    without_root
    pip_install -r /tmp/requirements.txt
    ;;
tarball)
    python3 -m venv /opt/rdf
    mkdir /opt/rdf/root
    tar -C /opt/rdf/root --strip-components 1 -xzf "$wheels"/root_v*.tar.gz
    without_root
    pip_install -r /tmp/requirements.txt
    echo /opt/rdf/root/lib > "$(/opt/rdf/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/root.pth"
    ;;
*)
    echo "expected wheel, conda or tarball, got $1" >&2
    exit 2
    ;;
esac
