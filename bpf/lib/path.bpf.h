/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The path of a directory, from the kernel's own tree: names from the leaf to
 * the caller's root, each with a zero behind. The reader turns them round.
 */
#ifndef APUS_PATH_BPF_H
#define APUS_PATH_BPF_H

#define PATH_NAME_BYTES 256 /* NAME_MAX and a zero */

enum path_state {
	PATH_WALKING = 0,
	PATH_COMPLETE = 1, /* the caller's root was reached */
	PATH_UNREACHABLE = 2, /* the walk ended at another root */
	PATH_CUT = 3, /* longer than the room for it */
};

struct path_walk {
	struct dentry *dentry;
	struct vfsmount *mount;
	struct dentry *root_dentry;
	struct vfsmount *root_mount;
	__u32 at; /* offset in the text where the next name goes */
	__u32 end; /* offset that no name may pass */
	__u32 state; /* enum path_state */
	__u32 deleted;
};

/* A dentry that was removed is no longer in the hash table (d_unhashed). The root never is. */
static __always_inline bool dentry_deleted(struct dentry *dentry)
{
	return !BPF_CORE_READ(dentry, d_hash.pprev) && BPF_CORE_READ(dentry, d_parent) != dentry;
}

static __always_inline void path_walk_start(struct path_walk *walk, struct path *from,
					    struct task_struct *task, __u32 at, __u32 end)
{
	struct fs_struct *fs = BPF_CORE_READ(task, fs);

	walk->dentry = BPF_CORE_READ(from, dentry);
	walk->mount = BPF_CORE_READ(from, mnt);
	walk->root_dentry = BPF_CORE_READ(fs, root.dentry);
	walk->root_mount = BPF_CORE_READ(fs, root.mnt);
	walk->at = at;
	walk->end = end;
	walk->state = PATH_WALKING;
	walk->deleted = dentry_deleted(walk->dentry);
}

/*
 * One step towards the root: across a mount point, or past one name, which is
 * written to text + walk->at. text_mask bounds the offset for the verifier;
 * the text must have PATH_NAME_BYTES behind it.
 */
static __always_inline void path_walk_step(struct path_walk *walk, char *text, __u32 text_mask)
{
	struct dentry *dentry = walk->dentry, *parent;
	struct vfsmount *vfsmount = walk->mount;
	struct mount *mount, *mount_parent;
	const unsigned char *name;
	__u32 length, at;

	if (dentry == walk->root_dentry && vfsmount == walk->root_mount) {
		walk->state = PATH_COMPLETE;
		return;
	}
	if (dentry == BPF_CORE_READ(vfsmount, mnt_root)) {
		mount = (void *)vfsmount - bpf_core_field_offset(struct mount, mnt);
		mount_parent = BPF_CORE_READ(mount, mnt_parent);
		if (mount_parent == mount) {
			walk->state = PATH_UNREACHABLE;
			return;
		}
		walk->dentry = BPF_CORE_READ(mount, mnt_mountpoint);
		walk->mount = (void *)mount_parent + bpf_core_field_offset(struct mount, mnt);
		return;
	}
	parent = BPF_CORE_READ(dentry, d_parent);
	if (!parent || parent == dentry) {
		walk->state = PATH_UNREACHABLE;
		return;
	}
	length = BPF_CORE_READ(dentry, d_name.len);
	name = BPF_CORE_READ(dentry, d_name.name);
	at = walk->at & text_mask;
	if (length >= PATH_NAME_BYTES || at + length + 1 > walk->end) {
		walk->state = PATH_CUT;
		return;
	}
	bpf_probe_read_kernel_str(text + at, PATH_NAME_BYTES, name);
	walk->at = at + length + 1;
	walk->dentry = parent;
}

/*
 * The step on what is in a slot of a map `scratch`: values of a type with `walk` and `text`. A function of its own,
 * verified once: the loop over it may then run as deep as a path can be.
 */
#define PATH_WALK_STEP(type, text_mask)                          \
	__attribute__((noinline)) int walk_step(__u32 slot)      \
	{                                                        \
		type *at = bpf_map_lookup_elem(&scratch, &slot); \
                                                                 \
		if (!at)                                         \
			return PATH_CUT;                         \
		path_walk_step(&at->walk, at->text, text_mask);  \
		return at->walk.state;                           \
	}

#endif
