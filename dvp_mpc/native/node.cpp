// What a tick would lose most time on in Python: the terminal node, and the way of a trajectory into a solver and out of it. The
// solver itself is Crocoddyl's with another box QP, see box_solver.hpp.
//
// ResidualValue is the terminal node of problem/terminal.py without a call back into Python.
//
//   V(x) = ||r1||^2 + ||a b||^2,   r1 = Sx dx + St dt + net(dx, dt, w - w_g, b) - at_goal            (value.py, paper eq. 9)
//
// It holds a value that value.py has bound to a goal; `bind` gives it another one. value.py's BoundResidual stays the
// specification: tests hold the two together.
#include <crocoddyl/core/action-base.hpp>
#include <crocoddyl/core/solvers/ddp.hpp>
#include <crocoddyl/core/states/euclidean.hpp>
#include <eigenpy/eigenpy.hpp>
#include <eigenpy/version.hpp>

#include "box_solver.hpp"
#include "kernels.hpp"

namespace bp = boost::python;

namespace dvp {

using Eigen::Matrix3d;
using Eigen::Matrix3Xd;
using Eigen::MatrixXd;
using Eigen::Vector3d;
using Eigen::VectorXd;
using State = Eigen::Ref<const VectorXd>;
using Rows = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Wide = Eigen::Matrix<double, Eigen::Dynamic, WIDTH, Eigen::RowMajor>;
using Action = crocoddyl::ActionModelAbstract;
using ActionData = crocoddyl::ActionDataAbstract;

struct Layer {
  Rows W;
  VectorXd c;
};

// The layers after the first, which no goal changes: all nodes of a value share them, and a change of goal copies little.
struct Layers {
  std::vector<Layer> hidden;
  Rows last;

  // hidden: a list of pairs (W, c)
  Layers(const bp::list &pairs, const MatrixXd &last) : last(last) {
    for (bp::ssize_t k = 0; k < bp::len(pairs); ++k)
      hidden.push_back({bp::extract<MatrixXd>(pairs[k][0])(), bp::extract<VectorXd>(pairs[k][1])()});
  }
};

// A value bound to a goal; the names are those of value.py. Its first layer is A dx + T dt + P (w - w_g) + B b + c. A and Sx
// have columns of zeros for all of WIDTH.
struct Bound {
  VectorXd x_goal, tool_goal, lower, upper, a, at_goal;
  Wide A;
  Rows T;
  MatrixXd P, B;
  Wide Sx;
  Rows St;
  VectorXd c;
};

// A Wide of which no vector straddles two cache lines; a product whose every other load does takes a sixth longer.
class Panel {
 public:
  Eigen::Map<Wide> sized(Eigen::Index rows) {
    if (lines_.size() < std::size_t(rows)) lines_.resize(rows);
    return Eigen::Map<Wide>(lines_[0].numbers, rows, WIDTH);
  }
  void swap(Panel &other) { lines_.swap(other.lines_); }

 private:
  struct alignas(64) Line {
    double numbers[WIDTH];
  };
  std::vector<Line> lines_;
};

struct Data : ActionData {
  EIGEN_MAKE_ALIGNED_OPERATOR_NEW
  Data(Action *model, Eigen::Index joints)
      : ActionData(model), dx(VectorXd::Zero(WIDTH)), axes(3, joints), Jt(Wide::Zero(3, WIDTH)) {}

  VectorXd x;  // the state and
  std::size_t binding = 0;  // the goal that everything below belongs to; 0 is none
  VectorXd dx, turn, b, r1;
  Vector3d tool;
  Matrix3Xd axes;
  Wide Jt;
  bool beyond = false;  // a soft limit
  std::vector<VectorXd> hidden, slopes;  // tanh and its derivative, layer by layer
  Panel J, next;
  Rows twoJt;  // 2 J'
};

class ResidualValue : public Action {
 public:
  // screws: (6, nq), the joints' (v, w) in the world at q = 0, |w| = 1; tool: (3,), where it is at q = 0.
  ResidualValue(const MatrixXd &screws, const VectorXd &tool, std::size_t nu, std::shared_ptr<Layers> layers)
      : Action(std::make_shared<crocoddyl::StateVector>(2 * screws.cols()), nu, 1),
        screws_(screws),
        tool_(tool),
        layers_(std::move(layers)) {
    if (screws.rows() != 6 || tool.size() != 3 || state_->get_nx() > WIDTH)
      throw std::invalid_argument("screws must be 6 x nq and tool 3, with at most " + std::to_string(WIDTH / 2) + " joints");
  }

  void bind(Bound bound) {
    check(bound);
    bound_ = std::move(bound);
    turn_goal_ = turn(bound_.x_goal.head(bound_.P.cols() / 2));
    ++binding_;
  }

  std::shared_ptr<ActionData> createData() override {
    return std::allocate_shared<Data>(Eigen::aligned_allocator<Data>(), this, screws_.cols());
  }

  void calc(const std::shared_ptr<ActionData> &data, const State &x) override {
    Data &d = static_cast<Data &>(*data);
    evaluate(d, x);
    d.cost = d.r1.squaredNorm();
    if (d.beyond) d.cost += bound_.a.cwiseProduct(d.b).squaredNorm();
  }

  void calcDiff(const std::shared_ptr<ActionData> &data, const State &x) override {
    Data &d = static_cast<Data &>(*data);
    if (d.binding != binding_ || d.x != x) evaluate(d, x);
    const Bound &v = bound_;
    const Eigen::Index nx = x.size(), nr = v.Sx.rows();
    d.slopes.resize(d.hidden.size());
    for (std::size_t k = 0; k < d.hidden.size(); ++k) d.slopes[k] = 1.0 - d.hidden[k].array().square();
    auto first = d.J.sized(v.A.rows());
    first = v.A;
    if (const Eigen::Index n = v.P.cols() / 2) {
      first.leftCols(n) += v.P.leftCols(n) * d.turn.tail(n).asDiagonal();
      first.leftCols(n) -= v.P.rightCols(n) * d.turn.head(n).asDiagonal();
    }
    if (d.beyond) first.leftCols(nx) += v.B * slope(x).asDiagonal();
    for (Eigen::Index i = 0; i < first.rows(); ++i)
      first.row(i) = d.slopes[0][i] * (first.row(i) + v.T.row(i).lazyProduct(d.Jt));
    for (std::size_t k = 0; k < layers_->hidden.size(); ++k) chain(d, layers_->hidden[k].W, d.slopes[k + 1].data());
    chain(d, layers_->last, nullptr);
    auto J = d.J.sized(nr);
    J += v.Sx;
    J.noalias() += v.St.lazyProduct(d.Jt);
    d.twoJt = 2.0 * J.leftCols(nx).transpose();
    d.Lx.noalias() = d.twoJt * d.r1;
    auto square = d.next.sized(nx);
    kernels().product(d.twoJt.data(), J.data(), nullptr, square.data(), nx, nr);
    d.Lxx = square.leftCols(nx);
    if (d.beyond) {
      const VectorXd a2 = 2.0 * v.a.cwiseAbs2();
      d.Lx += a2.cwiseProduct(d.b).cwiseProduct(slope(x));
      d.Lxx.diagonal() += (d.b.array() > 0.0).select(a2, 0.0);
    }
  }

  // A terminal node has no control; Crocoddyl's NumDiff hands it one all the same.
  void calc(const std::shared_ptr<ActionData> &data, const State &x, const State &) override { calc(data, x); }
  void calcDiff(const std::shared_ptr<ActionData> &data, const State &x, const State &) override { calcDiff(data, x); }

  std::shared_ptr<crocoddyl::ActionModelBase> cloneAsDouble() const override {
    return std::make_shared<ResidualValue>(*this);
  }
  std::shared_ptr<crocoddyl::ActionModelBase> cloneAsFloat() const override {
    throw std::logic_error("a value is known in double precision only");
  }

 private:
  // Everything up to r1 and the tool's Jacobian, which costs little beside the layers.
  void evaluate(Data &d, const State &x) const {
    const Bound &v = bound_;
    if (binding_ == 0 || x.size() != v.x_goal.size())
      throw std::invalid_argument("the node has no goal yet, or the state has another size");
    d.x = x;
    d.binding = binding_;
    locate(d);
    d.tool -= v.tool_goal;
    d.dx.head(x.size()) = x - v.x_goal;
    // On a limit itself, and with NaN, the barrier counts as entered, as in value.py. A value without barrier has no B.
    d.beyond = v.B.cols() > 0 && !((x.array() > v.lower.array()) && (x.array() < v.upper.array())).all();
    d.hidden.resize(layers_->hidden.size() + 1);
    VectorXd &first = d.hidden[0];
    first.resize(v.c.size());
    kernels().affine(v.A.data(), v.c.data(), d.dx.data(), first.data(), v.A.rows(), WIDTH);
    first.noalias() += v.T * d.tool;
    if (const Eigen::Index n = v.P.cols() / 2) {
      d.turn = turn(x.head(n));
      first.noalias() += v.P * (d.turn - turn_goal_);
    }
    if (d.beyond) {
      d.b = (x - v.upper).cwiseMax(0.0) + (v.lower - x).cwiseMax(0.0);
      first.noalias() += v.B * d.b;
    }
    tanh(first);
    for (std::size_t k = 0; k < layers_->hidden.size(); ++k) {
      const Layer &layer = layers_->hidden[k];
      VectorXd &h = d.hidden[k + 1];
      h.resize(layer.c.size());
      kernels().affine(layer.W.data(), layer.c.data(), d.hidden[k].data(), h.data(), layer.W.rows(), layer.W.cols());
      tanh(h);
    }
    const Rows &last = layers_->last;
    d.r1.resize(last.rows());
    kernels().affine(last.data(), v.at_goal.data(), d.hidden.back().data(), d.r1.data(), last.rows(), last.cols());
    d.r1.noalias() += v.Sx * d.dx;
    d.r1.noalias() += v.St * d.tool;
  }

  // J <- diag(slope) W J
  static void chain(Data &d, const Rows &W, const double *slope) {
    kernels().product(W.data(), d.J.sized(W.cols()).data(), slope, d.next.sized(W.rows()).data(), W.rows(), W.cols());
    d.J.swap(d.next);
  }

  // Eigen does not check in a release build, and a wrong size must not end the process.
  void check(const Bound &v) const {
    const Eigen::Index nx = state_->get_nx(), nr = layers_->last.rows();
    Eigen::Index units = v.c.size();
    bool fits = v.A.rows() == units && v.T.rows() == units && v.B.rows() == units && v.T.cols() == 3 && v.St.cols() == 3;
    fits = fits && v.P.rows() == units && v.P.cols() % 2 == 0 && v.P.cols() <= nx;
    for (const VectorXd *vector : {&v.x_goal, &v.lower, &v.upper, &v.a}) fits = fits && vector->size() == nx;
    fits = fits && v.tool_goal.size() == 3 && (v.B.cols() == nx || !v.B.cols());
    for (const Layer &layer : layers_->hidden) {
      fits = fits && layer.W.cols() == units && layer.W.rows() == layer.c.size();
      units = layer.c.size();
    }
    fits = fits && layers_->last.cols() == units && v.at_goal.size() == nr && v.Sx.rows() == nr && v.St.rows() == nr;
    if (!fits) throw std::invalid_argument("the arrays of a value do not fit each other");
  }

  // Tool position and its Jacobian by the product of exponentials (Lynch and Park, Modern Robotics, ch. 4). Pinocchio's own
  // headers would do the same in a minute of compilation.
  void locate(Data &d) const {
    Matrix3d R = Matrix3d::Identity();
    Vector3d p = Vector3d::Zero();
    for (Eigen::Index i = 0; i < screws_.cols(); ++i) {
      const Vector3d v = screws_.col(i).head<3>(), w = screws_.col(i).tail<3>();
      d.axes.col(i).noalias() = R * w;  // where the joints before have carried the axis
      d.Jt.col(i).noalias() = R * v + p.cross(R * w);  // still lacks axis x tool
      const Matrix3d turn = Eigen::AngleAxisd(d.x[i], w).toRotationMatrix();
      const Vector3d foot = w.cross(v);  // the axis' nearest point to the origin
      p += R * (foot - turn * foot);
      R *= turn;
    }
    d.tool = p + R * tool_;
    for (Eigen::Index i = 0; i < screws_.cols(); ++i) d.Jt.col(i) += d.axes.col(i).cross(d.tool);
  }

  // 1 - 2 / (1 + exp(2 z)): Eigen has a vector exp in double precision, but no vector tanh.
  static void tanh(VectorXd &z) { z = 1.0 - 2.0 / (1.0 + (2.0 * z.array()).exp()); }

  static VectorXd turn(const State &q) {
    VectorXd w(2 * q.size());
    w << q.array().sin(), q.array().cos();
    return w;
  }

  VectorXd slope(const State &x) const {
    return (x.array() > bound_.upper.array()).cast<double>() - (x.array() < bound_.lower.array()).cast<double>();
  }

  Eigen::Matrix<double, 6, Eigen::Dynamic> screws_;
  Vector3d tool_;
  std::shared_ptr<Layers> layers_;
  Bound bound_;
  VectorXd turn_goal_;
  std::size_t binding_ = 0;
};

// arrays: named as in Bound
void bind(ResidualValue &self, const bp::dict &arrays) {
  const auto vector = [&](const char *name) { return VectorXd(bp::extract<VectorXd>(arrays[name])); };
  const auto matrix = [&](const char *name) { return MatrixXd(bp::extract<MatrixXd>(arrays[name])); };
  const Eigen::Index nx = self.get_state()->get_nx();
  const auto wide = [&](const char *name) {
    const MatrixXd narrow = matrix(name);
    if (narrow.cols() != nx) throw std::invalid_argument("the arrays of a value do not fit each other");
    Wide zeros = Wide::Zero(narrow.rows(), WIDTH);
    zeros.leftCols(nx) = narrow;
    return zeros;
  };
  self.bind({vector("x_goal"), vector("tool_goal"), vector("lower"), vector("upper"), vector("a"), -vector("at_goal"),
             wide("A"), matrix("T"), matrix("P"), matrix("B"), wide("Sx"), matrix("St"), vector("c")});
}

// y = W x + c and C = diag(slope) W B by the kernels of one kind, for tests; slope of no numbers is 1.
bp::tuple products(const std::string &kind, const MatrixXd &W, const VectorXd &c, const VectorXd &x, const MatrixXd &B,
                   const VectorXd &slope) {
  const Rows rows = W;
  const Wide wide = B;
  VectorXd y(W.rows());
  Wide C(W.rows(), WIDTH);
  const Kernels &by = runnable().at(kind);
  by.affine(rows.data(), c.data(), x.data(), y.data(), W.rows(), W.cols());
  by.product(rows.data(), wide.data(), slope.size() ? slope.data() : nullptr, C.data(), W.rows(), W.cols());
  return bp::make_tuple(y, MatrixXd(C));
}

// The box QP of the solver, for tests: x, and which controls stay at a bound.
bp::tuple box_minimum(const MatrixXd &H, const VectorXd &g, const VectorXd &lower, const VectorXd &upper) {
  BoxQp qp;
  if (!qp.solve(H, g, lower, upper)) throw std::invalid_argument("H: is not positive definite");
  bp::list bound;
  for (const bool is : qp.bound) bound.append(is);
  return bp::make_tuple(qp.x, bound);
}

bp::list kinds() {
  bp::list names;
  for (const auto &kind : runnable()) names.append(kind.first);
  return names;
}

// solver.solve with the guess in two flat arrays, node after node: xs (N+1) nx numbers, us N nu. Crocoddyl's own takes lists.
bool solve(crocoddyl::SolverAbstract &solver, const VectorXd &xs, const VectorXd &us, std::size_t iterations,
           bool feasible) {
  const auto cut = [](const VectorXd &flat, std::size_t pieces) {
    const Eigen::Index size = flat.size() / pieces;
    if (Eigen::Index(size * pieces) != flat.size()) throw std::invalid_argument("guess: length does not fit the horizon");
    std::vector<VectorXd> list(pieces);
    for (std::size_t k = 0; k < pieces; ++k) list[k] = flat.segment(k * size, size);
    return list;
  };
  const std::size_t T = solver.get_problem()->get_T();
  return solver.solve(cut(xs, T + 1), cut(us, T), iterations, feasible);
}

// The solver's xs, us and gains as flat arrays, node after node, each gain row by row.
bp::tuple solution(const crocoddyl::SolverDDP &solver) {
  const auto joined = [](const auto &pieces) {
    const Eigen::Index size = pieces[0].size();
    VectorXd flat(size * pieces.size());
    for (std::size_t k = 0; k < pieces.size(); ++k)
      Eigen::Map<Rows>(flat.data() + k * size, pieces[0].rows(), pieces[0].cols()) = pieces[k];
    return flat;
  };
  return bp::make_tuple(joined(solver.get_xs()), joined(solver.get_us()), joined(solver.get_K()));
}

}  // namespace dvp

BOOST_PYTHON_MODULE(_dvp_native) {
  bp::import("crocoddyl");  // registers the base class
  // Two versions of Eigen in one process could lay out one object in two ways. eigenpy 3.13 leaves out the leading 3.
  const std::string mine = std::to_string(EIGEN_MAJOR_VERSION) + "." + std::to_string(EIGEN_MINOR_VERSION) + ".";
  const std::string theirs = eigenpy::printEigenVersion();
  if (theirs.rfind(mine, 0) != 0) {
    PyErr_SetString(PyExc_ImportError, ("built with Eigen 3." + mine + "x, eigenpy with 3." + theirs).c_str());
    bp::throw_error_already_set();
  }
  bp::def("kinds", &dvp::kinds);
  bp::def("products", &dvp::products);
  bp::class_<dvp::Layers, std::shared_ptr<dvp::Layers>, boost::noncopyable>(
      "Layers", bp::init<const bp::list &, const Eigen::MatrixXd &>());
  bp::def("box_minimum", &dvp::box_minimum);
  bp::class_<dvp::BoxSolver, bp::bases<crocoddyl::SolverBoxFDDP>, boost::noncopyable>(
      "BoxSolver", bp::init<std::shared_ptr<crocoddyl::ShootingProblem>>())
      .add_property("dx", bp::make_function(&dvp::BoxSolver::get_dx, bp::return_value_policy<bp::copy_const_reference>()));
  bp::def("solve", &dvp::solve);
  bp::def("solution", &dvp::solution);
  using Shared = const std::shared_ptr<dvp::ActionData> &;
  using Calc = void (dvp::ResidualValue::*)(Shared, const dvp::State &);
  using CalcControlled = void (dvp::ResidualValue::*)(Shared, const dvp::State &, const dvp::State &);
  bp::class_<dvp::ResidualValue, bp::bases<crocoddyl::ActionModelAbstract>, std::shared_ptr<dvp::ResidualValue>,
             boost::noncopyable>("ResidualValue",
                                 bp::init<const Eigen::MatrixXd &, const Eigen::VectorXd &, std::size_t,
                                          std::shared_ptr<dvp::Layers>>())
      .def("bind", &dvp::bind)
      // Crocoddyl's own definitions of these three serve nodes written in Python only.
      .def("createData", &dvp::ResidualValue::createData)
      .def("calc", static_cast<Calc>(&dvp::ResidualValue::calc))
      .def("calcDiff", static_cast<Calc>(&dvp::ResidualValue::calcDiff))
      .def("calc", static_cast<CalcControlled>(&dvp::ResidualValue::calc))
      .def("calcDiff", static_cast<CalcControlled>(&dvp::ResidualValue::calcDiff));
}
