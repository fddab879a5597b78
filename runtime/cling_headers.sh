#!/bin/sh
# cling_headers.sh FOLDER: what ROOT's interpreter needs of a C++ compiler, without the compiler (340 MB).
#
# Cling reads the C++ standard headers (25 MB), and finds them by running `c++ -xc++ -E -v /dev/null` at each start. The
# headers are copied into FOLDER, and a `c++` beside them that prints what the real one printed here.
set -eu
folder=$1
version=$(c++ -dumpversion)
triplet=$(c++ -print-multiarch)

mkdir -p "$folder/usr/bin" "$folder/usr/local/bin"
cp -a --parents /usr/include "$folder"
cp -a --parents "/usr/lib/gcc/$triplet/$version/include" "$folder"

{
    echo '#!/bin/sh'
    echo 'exec cat >&2 <<END'
    LC_ALL=C c++ -xc++ -E -v /dev/null 2>&1 | sed -n '/#include <\.\.\.> search/,/End of search list/p'
    echo 'END'
} > "$folder/usr/local/bin/c++"
chmod 755 "$folder/usr/local/bin/c++"
