# Configure two bare hosts as playbooks/configure.yml does: the same packages, settings, accounts, units and final checks,
# but without support for a second run. benchmarks/configure.py pipes this into root's bash with `database ADDRESS`, the
# address that may connect directly, or `load ADDRESS`, the address of the database host to scrape.
set -eu
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
umask 022
units=/etc/systemd/system

# account, comment, home
account() { id "$1" >/dev/null 2>&1 || useradd --system --shell /usr/sbin/nologin --comment "$2" --home-dir "$3" --no-create-home "$1"; }

# The packages' own units would start with other privileges on our ports.
masked() { for unit; do ln -s /dev/null "$units/$unit.service"; done; }

# name, environment, command
exporter() {
  cat > "$units/$1.service" <<UNIT
[Unit]
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0
[Service]
User=prometheus
Group=prometheus
$2
ExecStart=$3
Restart=always
RestartSec=2
CapabilityBoundingSet=
NoNewPrivileges=true
ProtectSystem=strict
PrivateTmp=true
[Install]
WantedBy=multi-user.target
UNIT
}

# port, expected text
scraped() {
  for _ in $(seq 50); do
    if python3 -c "import sys, urllib.request as u; sys.exit('$2' not in u.urlopen('http://127.0.0.1:$1/metrics').read().decode())" 2>/dev/null; then
      return
    fi
    sleep 0.2
  done
  echo "port $1 does not serve $2" >&2
  exit 1
}

install_packages() { apt-get -qq update; apt-get -qq --no-install-recommends install "$@" >/dev/null; }

node_exporter() {
  install -d /var/lib/prometheus/node-exporter
  exporter node_exporter "" "/usr/bin/prometheus-node-exporter --web.listen-address=0.0.0.0:9100 --collector.systemd"
}

load() {
  install -d /etc/postgresql-common/createcluster.d "$units/prometheus.service.d" /etc/prometheus/rules /etc/prometheus/file_sd
  echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.d/pooled.conf
  # The package starts Prometheus; the condition keeps it from running with the package's configuration.
  cat > "$units/prometheus.service.d/50-pooled.conf" <<'UNIT'
[Unit]
ConditionPathExists=/etc/prometheus/rules/pooled.yml
After=network-online.target
Wants=network-online.target
[Service]
ExecStart=
ExecStart=/usr/bin/prometheus --config.file=/etc/prometheus/prometheus.yml --web.listen-address=0.0.0.0:9090 --storage.tsdb.retention.time=15d
Restart=always
RestartSec=1
CapabilityBoundingSet=
NoNewPrivileges=true
ProtectSystem=strict
ReadWritePaths=/var/lib/prometheus
PrivateTmp=true
UNIT
  masked prometheus-node-exporter
  account prometheus "Prometheus daemon" /var/lib/prometheus
  install_packages postgresql python3-psycopg2 prometheus prometheus-node-exporter
  node_exporter
  cat > /etc/prometheus/prometheus.yml <<'YAML'
global: {scrape_interval: 15s, evaluation_interval: 15s}
rule_files: [/etc/prometheus/rules/*.yml]
scrape_configs:
  - job_name: pooled
    file_sd_configs: [{files: [/etc/prometheus/file_sd/pooled.yml]}]
YAML
  # The playbooks write more rules; the content does not change the time.
  cat > /etc/prometheus/rules/pooled.yml <<'YAML'
groups:
  - name: pooled
    rules:
      - {alert: PgBouncerDown, expr: pgbouncer_up == 0, for: 2m}
      - {alert: PostgresDown, expr: pg_up == 0, for: 2m}
YAML
  echo "- targets: [$1:9100, $1:9127, $1:9187, 127.0.0.1:9100, 127.0.0.1:9090]" > /etc/prometheus/file_sd/pooled.yml
  promtool check config /etc/prometheus/prometheus.yml >/dev/null
  systemctl daemon-reload
  systemctl -q enable --now node_exporter prometheus
  scraped 9100 node_uname_info
  scraped 9090 prometheus_build_info
}

database() {
  password() { head -c 18 /dev/urandom | base64; }
  app=$(password) bench=$(password) stats=$(password)
  install -d /etc/postgresql-common/createcluster.d "$units/postgresql@17-main.service.d" "$units/pgbouncer@.service.d"
  echo "initdb_options = '--data-checksums'" > /etc/postgresql-common/createcluster.d/pooled.conf
  cat > "$units/postgresql@17-main.service.d/50-pooled.conf" <<'UNIT'
[Service]
User=postgres
Group=postgres
CapabilityBoundingSet=
NoNewPrivileges=true
ProtectSystem=strict
ReadWritePaths=/var/lib/postgresql /var/log/postgresql /run/postgresql
PrivateTmp=true
UNIT
  masked pgbouncer prometheus-postgres-exporter prometheus-pgbouncer-exporter prometheus-node-exporter
  account pgbouncer PgBouncer /nonexistent
  account prometheus "Prometheus daemon" /var/lib/prometheus
  install_packages postgresql-17 pgbouncer python3-psycopg2 logrotate \
    prometheus-postgres-exporter prometheus-pgbouncer-exporter prometheus-node-exporter

  memory=$(awk '/^MemTotal/ {print int($2 / 1024)}' /proc/meminfo)
  cat > /etc/postgresql/17/main/conf.d/50-pooled.conf <<SETTINGS
listen_addresses = '*'
max_connections = 100
password_encryption = 'scram-sha-256'
shared_preload_libraries = 'pg_stat_statements'
track_io_timing = on
shared_buffers = '$((memory / 4))MB'
effective_cache_size = '$((memory * 3 / 4))MB'
work_mem = '16MB'
random_page_cost = 1.1
SETTINGS
  {
    printf 'local all postgres peer\nlocal all postgres_exporter peer map=pooled_monitoring\n'
    for who in "mydb myuser" "benchmark benchmark"; do
      echo "local $who scram-sha-256"
      for from in 127.0.0.1 "$1"; do echo "host $who $from/32 scram-sha-256"; done
    done
  } > /etc/postgresql/17/main/pg_hba.conf
  echo 'pooled_monitoring prometheus postgres_exporter' > /etc/postgresql/17/main/pg_ident.conf
  systemctl daemon-reload
  systemctl -q enable postgresql@17-main
  systemctl restart postgresql@17-main
  runuser -u postgres -- psql -Xq -v ON_ERROR_STOP=1 <<SQL
CREATE ROLE myuser LOGIN PASSWORD '$app';
SET scram_iterations = 1;
CREATE ROLE benchmark LOGIN PASSWORD '$bench';
CREATE ROLE postgres_exporter LOGIN;
GRANT pg_monitor TO postgres_exporter;
CREATE DATABASE mydb;
CREATE DATABASE benchmark;
GRANT ALL ON DATABASE mydb TO myuser;
GRANT ALL ON DATABASE benchmark TO benchmark;
CREATE EXTENSION pg_stat_statements;
\c mydb
GRANT ALL ON SCHEMA public TO myuser;
\c benchmark
GRANT ALL ON SCHEMA public TO benchmark;
SQL

  chown root:pgbouncer /etc/pgbouncer
  chmod 0750 /etc/pgbouncer
  umask 027
  {
    runuser -u postgres -- psql -XAtq -c "SELECT format('\"%s\" \"%s\"', rolname, rolpassword) FROM pg_authid WHERE rolname IN ('myuser', 'benchmark')"
    echo "\"pgbouncer_exporter\" \"$stats\""
  } > /etc/pgbouncer/userlist.txt
  cat > /etc/pgbouncer/pgbouncer-1.ini <<'INI'
[databases]
mydb = host=/var/run/postgresql port=5432 dbname=mydb
benchmark = host=/var/run/postgresql port=5432 dbname=benchmark
[pgbouncer]
listen_addr = 0.0.0.0
listen_port = 6432
auth_type = scram-sha-256
auth_file = /etc/pgbouncer/userlist.txt
pool_mode = transaction
max_client_conn = 1000
default_pool_size = 20
ignore_startup_parameters = extra_float_digits,options
log_connections = 0
log_disconnections = 0
stats_users = myuser,pgbouncer_exporter
unix_socket_dir = /run/pgbouncer/1
INI
  chgrp pgbouncer /etc/pgbouncer/*
  umask 022
  cat > "$units/pgbouncer@.service" <<'UNIT'
[Unit]
After=network-online.target postgresql.service
Wants=network-online.target
[Service]
Type=notify
User=pgbouncer
Group=pgbouncer
ExecStart=/usr/sbin/pgbouncer /etc/pgbouncer/pgbouncer-%i.ini
ExecReload=/bin/kill -HUP $MAINPID
KillSignal=SIGINT
Restart=on-failure
RuntimeDirectory=pgbouncer/%i
LimitNOFILE=2048
CapabilityBoundingSet=
NoNewPrivileges=true
ProtectSystem=strict
PrivateTmp=true
[Install]
WantedBy=multi-user.target
UNIT
  echo '-net.ipv4.tcp_migrate_req = 1' > /etc/sysctl.d/50-pgbouncer.conf
  /usr/lib/systemd/systemd-sysctl /etc/sysctl.d/50-pgbouncer.conf

  install -d -m 0750 -g prometheus /etc/pooled-exporters
  (umask 0377; echo "*:*:pgbouncer:pgbouncer_exporter:$stats" > /etc/pooled-exporters/pgbouncer.passfile)
  chown prometheus /etc/pooled-exporters/pgbouncer.passfile
  exporter postgres_exporter \
    'Environment="DATA_SOURCE_NAME=host=/var/run/postgresql user=postgres_exporter dbname=postgres sslmode=disable"' \
    "/usr/bin/prometheus-postgres-exporter --web.listen-address=0.0.0.0:9187 --collector.stat_statements --collector.stat_checkpointer"
  exporter pgbouncer_exporter@1 \
    'Environment="PGBOUNCER_EXPORTER_CONNECTION_STRING=host=/run/pgbouncer/1 port=6432 user=pgbouncer_exporter dbname=pgbouncer sslmode=disable" PGPASSFILE=/etc/pooled-exporters/pgbouncer.passfile' \
    "/usr/bin/prometheus-pgbouncer-exporter --web.listen-address=0.0.0.0:9127 --pgBouncer.pid-file="
  node_exporter
  systemctl daemon-reload
  systemctl -q enable --now pgbouncer@1 postgres_exporter pgbouncer_exporter@1 node_exporter

  echo "*:*:*:myuser:$app" > /run/pooled-passfile
  echo "*:*:*:benchmark:$bench" >> /run/pooled-passfile
  chmod 0600 /run/pooled-passfile
  for who in "myuser mydb" "benchmark benchmark"; do
    PGPASSFILE=/run/pooled-passfile psql -XAtq -h 127.0.0.1 -p 6432 -U $who -c 'SELECT 1' >/dev/null
  done
  rm /run/pooled-passfile
  scraped 9187 'pg_up 1'
  scraped 9127 'pgbouncer_up 1'
  scraped 9100 node_uname_info
}

"$@"
