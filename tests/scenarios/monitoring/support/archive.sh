# Build an APT archive in /srv/archive with a stand-in package `grafana`, signed, and serve it.
set -eu
export DEBIAN_FRONTEND=noninteractive GNUPGHOME=/root/archive-key
apt-get install --yes --quiet=2 --no-install-recommends gpg gpg-agent apt-utils >/dev/null
rm -rf /srv/archive /tmp/package "$GNUPGHOME"
mkdir -p /tmp/package/DEBIAN /tmp/package/usr/lib/systemd/system /tmp/package/usr/sbin /tmp/package/etc/grafana/provisioning/{datasources,dashboards}
cat > /tmp/package/DEBIAN/control <<'X'
Package: grafana
Version: 12.0.0
Architecture: all
Maintainer: Tests <tests@example.com>
Depends: adduser
Description: stands in for Grafana
X
cat > /tmp/package/DEBIAN/postinst <<'X'
#!/bin/sh
adduser --quiet --system --group --no-create-home --home /nonexistent grafana
X
chmod 755 /tmp/package/DEBIAN/postinst
cat > /tmp/package/usr/lib/systemd/system/grafana-server.service <<'X'
[Service]
User=grafana
ExecStart=/usr/bin/python3 /usr/sbin/grafana-server
[Install]
WantedBy=multi-user.target
X
cp /root/grafana.py /tmp/package/usr/sbin/grafana-server
cp /root/grafana.py /tmp/package/usr/sbin/grafana-cli
chmod 755 /tmp/package/usr/sbin/*
mkdir -p /srv/archive/pool /srv/archive/dists/stable/main/binary-amd64 /srv/archive/dashboards/9628/revisions/8
dpkg-deb --root-owner-group --build /tmp/package /srv/archive/pool/grafana.deb >/dev/null
cd /srv/archive
apt-ftparchive packages pool > dists/stable/main/binary-amd64/Packages
apt-ftparchive -o APT::FTPArchive::Release::Suite=stable -o APT::FTPArchive::Release::Components=main \
  -o APT::FTPArchive::Release::Architectures=amd64 release dists/stable > /tmp/Release
mv /tmp/Release dists/stable/Release
mkdir -m 700 "$GNUPGHOME"
for name in right wrong; do
  gpg --batch --quiet --passphrase '' --quick-generate-key "$name@example.com" ed25519 sign never
  gpg --batch --armor --export "$name@example.com" > "/srv/archive/$name.asc"
done
gpg --batch --local-user right@example.com --clearsign --output dists/stable/InRelease dists/stable/Release
# Grafana's site returns dashboards with a placeholder for the datasource.
echo '{"title": "by id", "uid": "by-id", "panels": [{"datasource": "${DS_PROMETHEUS}"}]}' > dashboards/9628/revisions/8/download
systemd-run --quiet --collect --unit=archive --property=RuntimeMaxSec=1800 python3 -m http.server --bind 127.0.0.1 --directory /srv/archive 8088
