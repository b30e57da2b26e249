#!/bin/sh
# Make releases as upstream publishes them of Debian's programs, and serve them on port 8000.
set -eu
mkdir -p /srv/releases
cd /srv/releases
apt-get update -qq
for one in postgres:0.17.1 pgbouncer:0.10.2; do
  kind=${one%:*}
  name=${kind}_exporter-${one#*:}.linux-amd64
  apt-get download -qq "prometheus-$kind-exporter"
  dpkg-deb --extract "prometheus-${kind}-exporter"_*.deb unpacked
  mkdir "$name"
  mv "unpacked/usr/bin/prometheus-$kind-exporter" "$name/${kind}_exporter"
  chown -R 1001:1001 "$name"
  tar -czf "$name.tar.gz" "$name"
  rm -r "$name" unpacked ./*.deb
done
sha256sum ./*.tar.gz | sed 's# \./# #' > sha256sums.txt
systemd-run --quiet --unit=releases --working-directory=/srv/releases python3 -m http.server 8000
