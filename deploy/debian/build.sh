#!/bin/sh
# Builds a Debian package of onec-exchange for the Python of this machine, with all that it needs besides that:
#
#   deploy/debian/build.sh [FOLDER]        # writes onec-exchange_VERSION_ARCHITECTURE.deb there, by default here
#
# It needs dpkg-deb, and a Python with pip; PYTHON names another than python3. That Python may be any: the package
# is for /usr/bin/python3, in a virtual environment of its own in /usr/lib/onec-exchange.
set -eu

out=$(realpath "${1:-.}")
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
built=$(mktemp -d)
trap 'rm -rf "$built"' EXIT
umask 022

"$python" -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir "$built/wheel" .
wheel=$(echo "$built"/wheel/*.whl)
version=$(basename "$wheel" | cut -d- -f2)
minor=$(/usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
next=${minor%.*}.$((${minor#*.} + 1))

# The environment, at the place where it will be; written by hand, because its programs name that place
root=$built/root
home=$root/usr/lib/onec-exchange
site=$home/lib/python$minor/site-packages
mkdir -p "$home/bin" "$site" "$root/usr/bin" "$root/lib/systemd/system" "$root/etc/onec-exchange" "$root/DEBIAN"
ln -s "/usr/bin/python$minor" "$home/bin/python"
printf 'home = /usr/bin\ninclude-system-site-packages = false\n' > "$home/pyvenv.cfg"
"$python" -m pip install --quiet --disable-pip-version-check --no-compile --only-binary=:all: \
    --python-version "$minor" --implementation cp --target "$site" "$wheel"
rm -rf "$site/bin"
find "$site" -depth -type d \( -name test -o -name tests \) -exec rm -rf {} +   # they are half of Twisted
for program in twistd:twisted.scripts.twistd:run onec-exchange:onec_twisted.onec_exchange:main \
    onec-node:onec_twisted.onec_node:main; do
    name=${program%%:*}
    module=${program#*:}
    printf '#!/usr/lib/onec-exchange/bin/python\nimport sys\n\nfrom %s import %s as run\n\nsys.exit(run())\n' \
        "${module%:*}" "${module#*:}" > "$home/bin/$name"
    chmod 755 "$home/bin/$name"
done
ln -s ../lib/onec-exchange/bin/onec-exchange ../lib/onec-exchange/bin/onec-node "$root/usr/bin/"

# The plugin cache, which the daemon may not write, then byte code that knows where it will be
"$home/bin/python" -B -W ignore -c 'from twisted.plugin import IPlugin, getPlugins; list(getPlugins(IPlugin))' 2> /dev/null
chmod 644 "$site/twisted/plugins/dropin.cache"
"$home/bin/python" -m compileall -q -s "$root" "$site" > /dev/null

sed -e 's#^auth = .*#auth = ["htpasswd:/etc/onec-exchange/htpasswd"]#' \
    -e 's#^media-root = .*#media-root = "/var/lib/onec-exchange"#' \
    -e 's#/etc/onec-exchange\.toml#/etc/onec-exchange/onec-exchange.toml#g' \
    -e 's#/etc/onec\.htpasswd#/etc/onec-exchange/htpasswd#g' \
    -e 's#twistd -n#/usr/lib/onec-exchange/bin/twistd -n#; s#  twistd onec#  /usr/lib/onec-exchange/bin/twistd onec#' \
    deploy/onec-exchange.toml > "$root/etc/onec-exchange/onec-exchange.toml"
cp deploy/debian/onec-exchange.service "$root/lib/systemd/system/"
sed -e "s/@VERSION@/$version/; s/@PYTHON@/$minor/; s/@NEXT@/$next/" \
    -e "s/@ARCHITECTURE@/$(dpkg --print-architecture)/" \
    -e "s/@SIZE@/$(du -sk "$root" | cut -f1)/" deploy/debian/control > "$root/DEBIAN/control"
echo /etc/onec-exchange/onec-exchange.toml > "$root/DEBIAN/conffiles"
for script in postinst prerm postrm; do
    install -m 755 "deploy/debian/$script" "$root/DEBIAN/"
done
dpkg-deb --root-owner-group --build "$root" "$out" > /dev/null
echo "$out/onec-exchange_${version}_$(dpkg --print-architecture).deb"
