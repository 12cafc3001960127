#!/bin/sh
# Install what the tests need from Debian or Ubuntu; say what is missing where that is impossible.
set -u
missing=""
need() {  # need COMMAND PACKAGE
    command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}
need storescu dcmtk
need dcmj2pnm dcmtk
need dciodvfy dicom3tools
need chromium chromium
need npm npm
need strace strace
need faketime faketime
need Orthanc orthanc
for plugin in Python:python DicomWeb:dicomweb Gdcm:gdcm; do
    [ -e "/usr/share/orthanc/plugins/libOrthanc${plugin%%:*}.so" ] || missing="$missing orthanc-${plugin##*:}"
done
need openssl openssl
need xmlsec1 xmlsec1
need haproxy haproxy
need promtool prometheus
need systemd-analyze systemd
ls /usr/lib/*/libopenh264.so.7 /lib/*/libopenh264.so.7 >/dev/null 2>&1 || missing="$missing libopenh264-7"
need rsyslogd rsyslog
ls /usr/lib/*/rsyslog/lmnsd_ossl.so >/dev/null 2>&1 || missing="$missing rsyslog-openssl"
ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || need postgres postgresql
need rabbitmq-server rabbitmq-server
need redis-server redis-server
[ -n "$(fc-list :lang=zh 2>/dev/null | head -n 1)" ] || missing="$missing fonts-noto-cjk fontconfig"
missing=$(printf '%s\n' $missing | sort -u | tr '\n' ' ')
[ -n "$(printf %s "$missing" | tr -d ' ')" ] || exit 0

if [ "$(id -u)" = 0 ]; then run=""; elif sudo -n true 2>/dev/null; then run="sudo"; else run="none"; fi
if [ "$run" = none ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "Some tests will be skipped by name. To enable them: apt-get install $missing"
    exit 0
fi
# Packages must not start their daemons: the tests start their own on free ports.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | $run tee "$policy" >/dev/null && $run chmod 755 "$policy"
    trap '$run rm -f "$policy"' EXIT
fi
$run apt-get update -qq
for package in $missing; do
    DEBIAN_FRONTEND=noninteractive $run apt-get install -y -qq --no-install-recommends "$package" \
        || echo "$package could not be installed; tests that need it will be skipped by name"
done
