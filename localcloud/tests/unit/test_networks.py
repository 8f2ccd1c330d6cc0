from localcloud.inprocess.aws import InProcessAws
from localcloud.tests.unit.conftest import HUB, OTHER, SPOKE, Shared, client, refused


def test_a_shared_subnet_shows_its_owner(shared: Shared) -> None:
    found = shared.spoke.describe_subnets(SubnetIds=shared.subnets)["Subnets"]
    assert [(s["SubnetId"], s["OwnerId"], s["VpcId"]) for s in found] == [
        (subnet, HUB, shared.vpc) for subnet in shared.subnets
    ]
    assert [s["SubnetId"] for s in shared.spoke.describe_subnets()["Subnets"]] == shared.subnets
    assert refused(client("ec2", OTHER).describe_subnets, SubnetIds=shared.subnets) == "InvalidSubnetID.NotFound"


def test_a_participant_sees_the_vpc_and_its_routes_without_the_owners_tags(aws: InProcessAws) -> None:
    vpc = aws.network.vpc(owner=HUB, Name="shared")
    subnets = aws.network.private_subnets(vpc)
    private, hidden = (aws.network.route_out(vpc, "nat", [subnet]) for subnet in subnets)
    aws.share(subnets[:1], SPOKE)
    hub, spoke = client("ec2", HUB), client("ec2", SPOKE)
    assert hub.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["Tags"] == [{"Key": "Name", "Value": "shared"}]
    assert [(v["OwnerId"], v["Tags"]) for v in spoke.describe_vpcs()["Vpcs"]] == [(HUB, [])]
    tables = [table["RouteTableId"] for table in spoke.describe_route_tables()["RouteTables"]]
    assert private in tables
    assert hidden not in tables
    assert refused(client("ec2", OTHER).describe_vpcs, VpcIds=[vpc]) == "InvalidVpcID.NotFound"


def test_routes_are_found_by_subnet_and_vpc(aws: InProcessAws) -> None:
    vpc = aws.network.vpc(owner=HUB)
    first, second = aws.network.private_subnets(vpc)
    own = aws.network.route_out(vpc, "igw", [first])
    aws.network.route_out(vpc, "tgw")
    hub = client("ec2", HUB)

    def routes(name: str, value: str) -> list[dict[str, str]]:
        found = hub.describe_route_tables(Filters=[{"Name": name, "Values": [value]}])["RouteTables"]
        return [table["Routes"][-1] for table in found]

    assert routes("association.subnet-id", first)[0]["GatewayId"].startswith("igw-")
    assert routes("association.subnet-id", second) == []  # it follows the main table
    assert routes("association.main", "true")[0]["TransitGatewayId"].startswith("tgw-")
    assert len(routes("vpc-id", vpc)) == 2
    assert hub.describe_route_tables(RouteTableIds=[own])["RouteTables"][0]["Associations"][0]["SubnetId"] == first
    assert refused(hub.describe_route_tables, RouteTableIds=["rtb-0"]) == "InvalidRouteTableID.NotFound"


def test_regions_are_apart(aws: InProcessAws) -> None:
    aws.network.vpc(owner=HUB, region="eu-west-3")
    assert client("ec2", HUB).describe_vpcs()["Vpcs"] == []
    assert len(client("ec2", HUB, "eu-west-3").describe_vpcs()["Vpcs"]) == 1
