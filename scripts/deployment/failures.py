"""What can keep a deployment from going on: each error is one line that says what was wrong and what to do."""


class DeploymentFailed(Exception):
    """The root of the family."""


class BadAccount(DeploymentFailed):
    """The account, its credentials or its quotas do not allow it. Nothing has been created."""


class BadStack(DeploymentFailed):
    """The stack is in a state from which it cannot be changed."""


class ChangeFailed(DeploymentFailed):
    """CloudFormation undid the change; the text names the first resource that failed, and why."""


class BuildFailed(DeploymentFailed):
    """The image could not be built; the text says where its log is."""


class BadModel(DeploymentFailed):
    """The folder given as a model is none."""


class PackagingFailed(DeploymentFailed):
    """Chalice could not package the app; the text says why."""


class MissingPackage(DeploymentFailed):
    """A package of the layer is not installed here; the text says which, and what to do."""


class TooLarge(DeploymentFailed):
    """Code and layers are more than the budget; the text says by how much."""
