# Install Docker Engine, and build images from Debian's binaries. Docker's overlay does not work on that of a container, so it uses vfs.
# Its cgroups get a private namespace, because with version 1 the host's paths differ outside.
set -eu
export DEBIAN_FRONTEND=noninteractive
mkdir -p /etc/docker
echo '{"storage-driver": "vfs", "default-cgroupns-mode": "private"}' > /etc/docker/daemon.json
apt-get update --quiet=2
apt-get install --yes --quiet=2 --no-install-recommends docker.io docker-cli docker-compose >/dev/null
cd /root
apt-get download --quiet=2 prometheus promtool prometheus-alertmanager
mkdir -p tree/etc tree/tmp
for package in ./*.deb; do dpkg-deb --fsys-tarfile "$package" | tar --extract --directory tree --wildcards './usr/bin/*' './usr/share/prometheus/*' 2>/dev/null || true; done
ldd tree/usr/bin/* | grep -o '/lib[^ ]*' | sort -u | while read -r library; do
  mkdir -p "tree$(dirname "$library")" && cp --dereference "$library" "tree$library"
done
for name in prometheus prometheus-alertmanager; do
  tar --create --directory tree . | docker import --change "ENTRYPOINT [\"/usr/bin/$name\"]" - "localhost/$name:debian" >/dev/null
done
# The stand-in for Grafana, with Python. The account is that of Grafana's image.
mkdir -p grafana/tmp grafana/usr/lib grafana/usr/share/grafana/bin grafana/usr/bin
chmod 1777 grafana/tmp
python=$(readlink --canonicalize /usr/bin/python3)
cp "$python" grafana/usr/bin/python3
cp --recursive "/usr/lib/${python##*/}" grafana/usr/lib
ldd "$python" "/usr/lib/${python##*/}"/lib-dynload/*.so | grep -o '/lib[^ ]*' | sort -u | grep -v : | while read -r library; do
  mkdir -p "grafana$(dirname "$library")" && cp --dereference "$library" "grafana$library"
done
install --mode 755 grafana.py grafana/usr/share/grafana/bin/grafana
tar --create --directory grafana . | docker import --change 'ENTRYPOINT ["/usr/share/grafana/bin/grafana"]' \
  --change 'ENV PATH=/usr/share/grafana/bin:/usr/bin' --change 'USER 472' - localhost/grafana:python >/dev/null
images="localhost/prometheus:debian localhost/prometheus-alertmanager:debian localhost/grafana:python"
docker save --output images.tar $images
docker rmi --force $images >/dev/null
docker load --quiet --input images.tar
rm -rf tree grafana images.tar ./*.deb
