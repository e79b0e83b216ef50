# shellcheck shell=sh
# Runs inside the tree, as root, when an image is made of it: what Debian's packages leave to an installer.
# $1: the public key that may log in as root and as alice.
set -eu

echo pyoci-vm >/etc/hostname
printf '127.0.0.1 localhost pyoci-vm\n::1 localhost\n' >/etc/hosts
: >/etc/resolv.conf
: >/etc/fstab
# A machine with an id does not go through the presets of a first boot.
tr -d - </proc/sys/kernel/random/uuid >/etc/machine-id
echo 'export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' >/etc/profile.d/path.sh
# ssh's commands read no profile.
sed -i 's/^PATH=.*//' /etc/environment 2>/dev/null || true
echo 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' >>/etc/environment

# A user for rootless containers: useradd gives it 65536 subordinate ids, and its systemd is started with its first login.
useradd --create-home --shell /bin/bash --uid 1000 alice
for home in /root /home/alice; do
    mkdir -p $home/.ssh
    echo "$1" >$home/.ssh/authorized_keys
    chmod 700 $home/.ssh
    chmod 600 $home/.ssh/authorized_keys
done
chown -R alice:alice /home/alice/.ssh

systemctl enable -q ssh.service pyoci-network.service pyoci-ready.service pyoci-steady.service
# Engines are started by the tests, each with a state directory of its own. The rest would only cost time.
systemctl disable -q docker.service docker.socket containerd.service podman.service podman.socket \
    podman-auto-update.timer podman-auto-update.service podman-restart.service podman-clean-transient.service 2>/dev/null || true
systemctl mask -q apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
    fstrim.timer getty@tty1.service systemd-timesyncd.service systemd-hwdb-update.service systemd-pcrphase.service \
    systemd-pcrphase-sysinit.service systemd-journal-catalog-update.service modprobe@drm.service modprobe@configfs.service \
    sys-kernel-debug.mount
# Compiling a hundred profiles of desktop programs takes minutes on an emulated processor.
find /etc/apparmor.d -maxdepth 1 -type f -not -name buildah -not -name busybox -not -name crun -not -name runc \
    -not -name rootlesskit -not -name slirp4netns -not -name unix-chkpwd -not -name 'usr.bin.pas*' -delete
systemctl set-default -q multi-user.target
rm -f /var/lib/systemd/random-seed
